#include "agent/loop/finals.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "study/held_out.h"

namespace vortex::agent {
namespace {

// Finals begin when so many times what they should take is left: a last round that the end cuts off settles nothing,
// and whoever is done early goes on to propose.
constexpr double kFinalsCare = 1.2;

}  // namespace

bool Finals::are_due() const {
  const study::SearchOptions& options = parts_.options;
  if (options.seconds <= 0 || !options.confirm) { return false; }
  const double left = options.seconds - parts_.session.budget().used(study::Resource::kSeconds);
  const int ahead = options.batch * (1 + options.overlap);  // candidates, with those of the batches in the air
  const double batch = parts_.evaluator.expected_seconds(options.job.stages) *
                       std::ceil(ahead / static_cast<double>(std::max(1, options.workers)));
  const double most = study::kFinalsShare * options.seconds;
  if (left >= most + batch) { return false; }  // who will be asked is looked up towards the end alone
  const study::SequenceRules& rules = knowledge_.rules();
  const Clocks& clocks = knowledge_.clocks();
  const auto finalists = static_cast<double>(study::best_sequence(knowledge_.standing().archive(), rules).size());
  const double policy = clocks.policy_race_seconds / std::max(1, options.job.task.problems);  // reads no prompt itself
  const double asking = rules.problems * (clocks.dense_problem_seconds + std::max(1.0, finalists) * policy);
  return left < std::min(kFinalsCare * asking, most) + batch;
}

Status Finals::prepare() {
  const bool needed = parts_.options.overlap > 0 && parts_.options.confirm && !parts_.session.ended();
  if (!needed || study::best_sequence(knowledge_.standing().archive(), knowledge_.rules()).empty()) {
    return ok_status();
  }
  VORTEX_ASSIGN(const std::vector<Assignment> tasks, trials_.tasks({knowledge_.dense()}, 1, trials_.rounds()));
  VORTEX_ASSIGN(dense_lot_, parts_.evaluator.start(tasks, false));
  return ok_status();
}

Status Finals::run() {
  if (const int64_t lot = std::exchange(dense_lot_, 0); lot != 0) { VORTEX_TRY(parts_.evaluator.wait(lot)); }
  if (!parts_.options.confirm) { return ok_status(); }
  const double begun = parts_.session.budget().used(study::Resource::kSeconds);
  VORTEX_TRY(ask_sequences());
  return ask_front(parts_.options.seconds > 0 ? begun + study::kFinalsShare * parts_.options.seconds : 0);
}

// Those that promise a claim. Who crashes on held-out problems leaves the standing, and another sequence may promise
// most.
Status Finals::ask_sequences() {
  bool again = true;
  while (again && !parts_.session.ended()) {
    const study::Archive& archive = knowledge_.standing().archive();
    const std::vector<int64_t> sequence = study::best_sequence(archive, knowledge_.rules());
    const auto fallback = study::fallback_of(archive, knowledge_.rules(), sequence);
    VORTEX_ASSIGN(Trials::Asked asked, ask_sequence(sequence));
    if (parts_.session.ended()) { return ok_status(); }
    if (!asked.failed && asked.kept.empty() && !sequence.empty() && fallback) {
      VORTEX_ASSIGN(asked, trials_.ask({*fallback}));
      if (parts_.session.ended()) { return ok_status(); }
    }
    again = asked.failed;
    VORTEX_TRY(speeds_.measure(asked.kept));
  }
  return ok_status();
}

// One after the other until one is not kept; where batches overlap all at once.
Result<Trials::Asked> Finals::ask_sequence(const std::vector<int64_t>& sequence) {
  const size_t at_once = parts_.options.overlap > 0 ? std::max<size_t>(1, sequence.size()) : 1;
  Trials::Asked all;
  for (size_t first = 0; first < sequence.size() && !all.failed && all.kept.size() == first; first += at_once) {
    const auto begin = sequence.begin() + static_cast<std::ptrdiff_t>(first);
    VORTEX_ASSIGN(const Trials::Asked asked, trials_.ask({begin, begin + static_cast<std::ptrdiff_t>(at_once)}));
    if (parts_.session.ended()) { return all; }
    all.failed = asked.failed;
    all.kept.insert(all.kept.end(), asked.kept.begin(), asked.kept.end());
  }
  return all;
}

// Members of the front that nobody asked, from the most accurate to the fastest.
std::vector<int64_t> Finals::unasked_front() const {
  std::vector<study::Point> members = knowledge_.standing().front();
  std::sort(members.begin(), members.end(),
            [](const study::Point& a, const study::Point& b) { return a.speed.ratio.value < b.speed.ratio.value; });
  std::vector<int64_t> candidates;
  for (const study::Point& member : members) {
    const bool asked = member.candidate == knowledge_.dense() || trials_.has_asked(member.candidate);
    if (!asked) { candidates.push_back(member.candidate); }
  }
  return candidates;
}

// Until this second of the budget has come (0: whenever): those of whom a claim may be expected, until one is not kept.
// Then, where time is what limits a search, those of whom none is: their accuracy is known from problems on which they
// were selected.
Status Finals::ask_front(double seconds) {
  const Session& session = parts_.session;
  const auto is_time = [&] {
    return !session.ended() && (seconds <= 0 || session.budget().used(study::Resource::kSeconds) < seconds);
  };
  const std::vector<int64_t> members = unasked_front();
  const std::vector<int64_t> promising =
      study::asked_sequence(knowledge_.standing().archive(), knowledge_.rules(), members);
  std::vector<int64_t> kept;
  for (const int64_t candidate : promising) {
    if (!is_time()) { break; }
    VORTEX_ASSIGN(const Trials::Asked asked, trials_.ask({candidate}));
    if (asked.kept.empty()) { break; }
    kept.push_back(candidate);
  }
  if (!session.ended()) { VORTEX_TRY(speeds_.measure(kept)); }
  for (const int64_t candidate : members) {
    const bool promises = std::find(promising.begin(), promising.end(), candidate) != promising.end();
    if (promises || seconds <= 0 || !is_time()) { continue; }
    VORTEX_TRY(trials_.ask({candidate}));
  }
  return ok_status();
}

Result<std::string> Finals::answer(int64_t candidate) {
  if (!parts_.options.confirm) { return std::string("refused: this search has no held-out problems"); }
  if (knowledge_.of(candidate).confirmed) { return std::string("it was asked on held-out problems before"); }
  VORTEX_ASSIGN(const Trials::Asked asked, trials_.ask({candidate}));
  if (parts_.session.ended()) { return std::string(); }
  if (asked.failed) { return std::string("confirm: it failed on held-out problems"); }
  VORTEX_TRY(speeds_.measure({candidate}));
  VORTEX_ASSIGN(const study::Claim claim, trials_.claim_of(candidate));
  return "confirm: " + std::string(evals::keeping_name(claim.keeping)) + " on " + std::to_string(claim.problems) +
         " held-out problems";
}

}  // namespace vortex::agent
