#include "agent/loop/rounds.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "study/held_out.h"
#include "study/reproduce.h"
#include "study/retest.h"
#include "study/rivals.h"

namespace vortex::agent {
namespace {

constexpr int kProspectRounds = 5;               // of retests before a point may become a finalist
constexpr const char* kAskedEvent = "held-out";  // a candidate takes its place among those asked
// A first look at a speed ends with an interval so many times as wide as asked, or after such a share of the seconds:
// it says who is worth a further process.
constexpr double kFirstLook = 3;
constexpr double kFirstShare = 0.5;
// Finals begin when so many times what they should take is left: a last round that the end cuts off settles nothing,
// and whoever is done early goes on to propose.
constexpr double kFinalsCare = 1.2;
// What dense attention may take for rounds of retests, over what climbs took. Where a prompt takes longer than its
// answer, its new problems are what retests cost: those that follow it find their prompts read.
constexpr double kNewProblemsShare = 0.25;

}  // namespace

Rounds::Rounds(Session& session, const study::SearchOptions& options, Evaluator& evaluator, const Shelf& shelf)
    : session_(session),
      options_(options),
      evaluator_(evaluator),
      shelf_(shelf),
      standing_(options),
      sequence_rules_(study::sequence_rules(options)),
      racing_({std::min(options.retests, study::kMaxRetests)}) {}

void Rounds::take_dense(const study::CandidateHistory& dense) {
  sequence_rules_ = study::sequence_rules(options_);
  incumbent_ = study::incumbent_of(dense);
  count_race(dense);
}

Result<bool> Rounds::has_asked() const {
  VORTEX_ASSIGN(const std::vector<db::Event> events, session_.store().events(session_.run().id));
  return std::any_of(events.begin(), events.end(), [](const db::Event& event) { return event.kind == kAskedEvent; });
}

job::Job Rounds::job_of(const vflow::PolicySource& source) const {
  job::Job job = options_.job;
  job.module_text = source.module_text;
  job.config_text = source.config_text;
  job.incumbent = incumbent_;
  return job;
}

job::Job Rounds::climb(const vflow::PolicySource& source) const {
  job::Job job = job_of(source);
  job.rivals = rivals_;
  if (options_.speed_runs > 1) {
    job.speed_precision = std::min(1.0, kFirstLook * job.speed_precision);
    job.speed_seconds *= kFirstShare;
  }
  return job;
}

// Points come one behind the other; where one has left, all are looked at again.
Status Rounds::look_up_rivals(const std::set<int64_t>& control) {
  const std::vector<study::Point>& points = standing_.archive().points();
  const bool grown =
      rivals_seen_ <= points.size() && (rivals_seen_ == 0 || points[rivals_seen_ - 1].candidate == last_rival_seen_);
  if (!grown) {
    rivals_seen_ = 0;
    rivals_.clear();
  }
  for (; rivals_seen_ < points.size(); ++rivals_seen_) {
    const study::Point& point = points[rivals_seen_];
    last_rival_seen_ = point.candidate;
    if (point.promise <= 0 || !shelf_.contains(point.candidate) || control.contains(point.candidate)) { continue; }
    VORTEX_ASSIGN(const std::vector<db::StageRow> stages, session_.store().stages(point.candidate));
    if (std::optional<job::Rival> rival = study::rival_of(stages)) { study::add_rival(std::move(*rival), rivals_); }
  }
  return ok_status();
}

void Rounds::count_race(const study::CandidateHistory& candidate) {
  const db::StageRow* race = study::last_stage(candidate, job::Stage::kRace);
  if (race == nullptr) { return; }
  race_problems_ += static_cast<int64_t>(study::outcomes_of(candidate, *race).size());
  if (candidate.row.id != dense_) { policy_race_seconds_ = race->seconds; }
}

void Rounds::count_climb(const study::CandidateHistory& candidate) {
  for (const db::StageRow& row : study::last_climb(candidate)) { climb_seconds_ += row.seconds; }
  count_race(candidate);
}

// Rounds that are opened at once count with what those before them took; the first of all is opened alone. A search
// whose candidates are counted decides nothing by the clock: it comes to the same on any machine.
bool Rounds::may_be_asked(const study::Retest& retest) const {
  if (options_.max_evals > 0) { return true; }
  const auto dense = known_.find(dense_);
  const int answered = dense == known_.end() ? 0 : dense->second.retests;
  const int before = retest.round - answered - 1;  // that are opened with it
  if (before < 0) { return true; }
  if (answered == 0 && before > 0) { return false; }
  const double ahead = before * new_problems_seconds_ / std::max(1, answered);
  return new_problems_seconds_ + ahead <= kNewProblemsShare * climb_seconds_;
}

bool Rounds::was_confirmed(int64_t candidate) const {
  const auto known = known_.find(candidate);
  return known != known_.end() && known->second.confirmed;
}

Result<job::Job> Rounds::speed_job(int64_t candidate) const {
  VORTEX_ASSIGN(const vflow::PolicySource source, shelf_.source(candidate));
  job::Job job = job_of(source);
  job.stages = {job::Stage::kSpeed};
  return job;
}

Result<job::Job> Rounds::retest_job(const study::Retest& retest) const {
  job::Job job = options_.job;
  job.dense = retest.candidate == dense_;
  if (shelf_.contains(retest.candidate)) {
    VORTEX_ASSIGN(const vflow::PolicySource source, shelf_.source(retest.candidate));
    job.module_text = source.module_text;
    job.config_text = source.config_text;
  }
  job.stages = {job::Stage::kRace};
  job.task = study::retest_task(options_.job.task, retest.round);
  return job;  // paired here, not in the worker
}

Status Rounds::ask(Beside beside) {
  if (beside == Beside::kClimbs && !asked_.empty() && ++asked_age_ < options_.overlap) { return ok_status(); }
  VORTEX_TRY(take_asked());
  while (!session_.ended()) {
    VORTEX_ASSIGN(asked_, next(options_.overlap > 0 && beside != Beside::kClimbs));
    if (asked_.empty()) { break; }
    VORTEX_ASSIGN(asked_lot_, evaluator_.start(asked_, true));
    asked_age_ = 0;
    if (beside != Beside::kNothing) { break; }
    VORTEX_TRY(take_asked());
  }
  return ok_status();
}

Status Rounds::take_asked() {
  if (asked_.empty()) { return ok_status(); }
  const std::vector<Assignment> tasks = std::exchange(asked_, {});
  VORTEX_TRY(evaluator_.wait(asked_lot_));
  return take(tasks);
}

Status Rounds::take(const std::vector<Assignment>& tasks) {
  if (session_.ended()) {
    return ok_status();  // a part of a round must decide nothing
  }
  for (const Assignment& task : tasks) {
    study::Known& known = known_[task.candidate];
    (task.kind == Assignment::Kind::kSpeed ? known.speed_runs : known.retests) = task.round;
  }
  std::set<int64_t> taken;
  for (const Assignment& task : tasks) {
    if (!taken.insert(task.candidate).second) { continue; }
    VORTEX_ASSIGN(const study::CandidateHistory candidate, study::read_candidate(session_.store(), task.candidate));
    absorb(candidate);
    if (task.candidate == dense_) { count_new_problems(candidate, tasks); }
  }
  return ok_status();
}

// Of rounds that dense attention has just answered.
void Rounds::count_new_problems(const study::CandidateHistory& dense, const std::vector<Assignment>& tasks) {
  for (const Assignment& task : tasks) {
    if (task.candidate != dense_ || task.kind != Assignment::Kind::kRetest) { continue; }
    const db::StageRow* row = study::last_stage(dense, study::retest_stage(task.round));
    new_problems_seconds_ += row == nullptr ? 0 : row->seconds;
  }
}

// Speeds first, as they may change who is asked; in a search whose batches overlap both at once, to lose no batch.
Result<std::vector<Assignment>> Rounds::next(bool all_at_once) {
  VORTEX_ASSIGN(std::vector<Assignment> tasks, next_speeds(all_at_once));
  if (!tasks.empty() && options_.overlap == 0) { return tasks; }
  VORTEX_ASSIGN(std::vector<Assignment> retests, next_retests(tasks, all_at_once));
  std::move(retests.begin(), retests.end(), std::back_inserter(tasks));
  return tasks;
}

// Prospects before those that could change the front; `all`: both.
std::vector<Rounds::Wish> Rounds::wishes(bool all) {
  const int most = std::min(options_.retests, study::kMaxRetests);
  const int rounds = std::min(most, kProspectRounds);
  const study::Archive& archive = standing_.archive();
  std::vector<Wish> wanted;
  for (const study::Retest& retest : study::retests_of_prospects(archive, sequence_rules_, rounds)) {
    wanted.push_back({retest, rounds});
  }
  if (!all && !wanted.empty()) { return wanted; }
  for (const study::Retest& retest : racing_.wanted(archive)) {
    const auto is_it = [&](const Wish& wish) { return wish.retest.candidate == retest.candidate; };
    const auto known = std::find_if(wanted.begin(), wanted.end(), is_it);
    if (known == wanted.end()) {
      wanted.push_back({retest, most});
    } else {
      known->last = most;
    }
  }
  return wanted;
}

// `beside`: tasks of candidates that do one thing at a time, while there are others. The first round of each before the
// second of any.
Result<std::vector<Assignment>> Rounds::next_retests(const std::vector<Assignment>& beside, bool all_at_once) {
  const auto is_busy = [&](int64_t candidate) {
    return !all_at_once && std::any_of(beside.begin(), beside.end(),
                                       [&](const Assignment& task) { return task.candidate == candidate; });
  };
  const int64_t problems = study::retest_problems(options_.job.task);
  const std::vector<Wish> wanted = wishes(all_at_once);
  std::vector<Assignment> tasks;
  const auto is_full = [&] { return static_cast<int>(tasks.size()) == options_.batch; };
  const int ahead = all_at_once ? study::kMaxRetests : 1;
  for (int further = 0; further < ahead && !is_full(); ++further) {
    for (const Wish& wish : wanted) {
      const study::Retest retest{wish.retest.candidate, wish.retest.round + further};
      const auto share = static_cast<double>(retest_problems_ + problems) / static_cast<double>(race_problems_);
      const bool over = further > 0 && retest.round > wish.last;
      if (over || share > options_.retest_share || is_busy(retest.candidate) || !may_be_asked(retest)) { continue; }
      if (retest.candidate != dense_) { retest_problems_ += problems; }
      VORTEX_ASSIGN(job::Job job, retest_job(retest));
      tasks.push_back({Assignment::Kind::kRetest, retest.candidate, std::move(job), retest.round});
      if (is_full()) { break; }  // what they answer says who goes on
    }
  }
  if (!tasks.empty()) { VORTEX_TRY(add_dense_retests(tasks)); }
  return tasks;
}

// Puts the rounds that dense attention lacks before those of others.
Status Rounds::add_dense_retests(std::vector<Assignment>& tasks) {
  int last = 0;
  for (const Assignment& task : tasks) { last = std::max(last, task.round); }
  std::vector<Assignment> all;
  for (int round = known_[dense_].retests + 1; round <= last; ++round) {
    VORTEX_ASSIGN(job::Job job, retest_job({dense_, round}));
    all.push_back({Assignment::Kind::kRetest, dense_, std::move(job), round});
  }
  std::erase_if(tasks, [this](const Assignment& task) { return task.candidate == dense_; });
  all.insert(all.end(), tasks.begin(), tasks.end());
  tasks = std::move(all);
  return ok_status();
}

// What all samples of one process share is seen only by further processes. Candidates take turns, so that what
// changes on the machine meets all of them: these are the next one of each that lacks it, of the first that any lacks.
Result<std::vector<Assignment>> Rounds::speeds_of(const std::vector<int64_t>& candidates, bool all_at_once) {
  std::vector<Assignment> tasks;
  if (options_.rank_speed == study::RankSpeed::kModelled) { return tasks; }
  for (int run = 2; run <= std::min(options_.speed_runs, study::kMaxSpeedRuns); ++run) {
    if (!all_at_once && !tasks.empty()) { break; }
    for (const int64_t candidate : candidates) {
      if (!shelf_.contains(candidate) || known_[candidate].speed_runs >= run) { continue; }
      VORTEX_ASSIGN(job::Job job, speed_job(candidate));
      tasks.push_back({Assignment::Kind::kSpeed, candidate, std::move(job), run});
    }
  }
  return tasks;
}

// Whoever joins the front meanwhile waits until those that were members are measured.
Result<std::vector<Assignment>> Rounds::next_speeds(bool all_at_once) {
  VORTEX_ASSIGN(std::vector<Assignment> tasks, speeds_of(measuring_, all_at_once));
  if (!tasks.empty() || options_.rank_speed == study::RankSpeed::kModelled) { return tasks; }
  measuring_.clear();
  for (const study::Point& point : standing_.front()) { measuring_.push_back(point.candidate); }
  return speeds_of(measuring_, all_at_once);
}

Status Rounds::measure(const std::vector<int64_t>& candidates) {
  while (!session_.ended()) {
    VORTEX_ASSIGN(const std::vector<Assignment> tasks, speeds_of(candidates, options_.overlap > 0));
    if (tasks.empty()) { break; }
    VORTEX_TRY(evaluator_.run(tasks));
    VORTEX_TRY(take(tasks));
  }
  return ok_status();
}

Result<std::string> Rounds::answer(const db::Request& request) {
  if (!shelf_.contains(request.candidate)) { return std::string("refused: it is no candidate that can be run"); }
  VORTEX_TRY(take_asked());
  return request.kind == db::RequestKind::kConfirm ? answer_confirm(request.candidate)
                                                   : answer_retest(request.candidate);
}

Result<std::string> Rounds::answer_confirm(int64_t candidate) {
  if (!options_.confirm) { return std::string("refused: this search has no held-out problems"); }
  if (known_[candidate].confirmed) { return std::string("it was asked on held-out problems before"); }
  VORTEX_ASSIGN(const Asked asked, ask_finalists({candidate}));
  if (session_.ended()) { return std::string(); }
  if (asked.failed) { return std::string("confirm: it failed on held-out problems"); }
  VORTEX_TRY(measure({candidate}));
  VORTEX_ASSIGN(const study::CandidateHistory own, study::read_candidate(session_.store(), candidate));
  const study::SequenceRules rules = rules_for(candidate);
  const study::Finalist finalist = study::until_decided(study::finalist_of(own), held_out_dense_, rules, options_.seed);
  const study::Claim claim = study::judge_claims({finalist}, held_out_dense_, rules, options_.seed).front();
  return "confirm: " + std::string(evals::keeping_name(claim.keeping)) + " on " + std::to_string(claim.problems) +
         " held-out problems";
}

Result<std::string> Rounds::answer_retest(int64_t candidate) {
  const int round = known_[candidate].retests + 1;
  if (round > study::kMaxRetests) { return std::string("refused: it has answered every round"); }
  // Dense attention answers the same problems, so that the two stay paired.
  VORTEX_ASSIGN(job::Job job, retest_job({candidate, round}));
  std::vector<Assignment> tasks = {{Assignment::Kind::kRetest, candidate, std::move(job), round, true}};
  VORTEX_TRY(add_dense_retests(tasks));
  for (const Assignment& task : tasks) {
    VORTEX_TRY(evaluator_.run({task}));
    if (session_.ended()) { return std::string(); }
    VORTEX_TRY(take({task}));
  }
  VORTEX_ASSIGN(const study::CandidateHistory history, study::read_candidate(session_.store(), candidate));
  const db::StageRound stage = study::retest_stage(round);
  const db::StageRow* row = study::last_stage(history, stage);
  if (row == nullptr) { return db::stage_round_name(stage) + " was not run"; }
  return db::stage_round_name(stage) + ": " + std::string(name_of(row->verdict)) +
         (row->message.empty() ? "" : ", " + row->message);
}

bool Rounds::finals_are_due() const {
  if (options_.seconds <= 0 || !options_.confirm) { return false; }
  const double left = options_.seconds - session_.budget().used(study::Resource::kSeconds);
  const int ahead = options_.batch * (1 + options_.overlap);  // candidates, with those of the batches in the air
  const double batch = evaluator_.expected_seconds(options_.job.stages) *
                       std::ceil(ahead / static_cast<double>(std::max(1, options_.workers)));
  const double most = study::kFinalsShare * options_.seconds;
  if (left >= most + batch) { return false; }  // who will be asked is looked up towards the end alone
  const auto finalists = static_cast<double>(study::best_sequence(standing_.archive(), sequence_rules_).size());
  const double policy = policy_race_seconds_ / std::max(1, options_.job.task.problems);  // reads no prompt itself
  const double asking = sequence_rules_.problems * (dense_problem_seconds_ + std::max(1.0, finalists) * policy);
  return left < std::min(kFinalsCare * asking, most) + batch;
}

Status Rounds::prepare_finals() {
  const bool needed = options_.overlap > 0 && options_.confirm && !session_.ended();
  if (!needed || study::best_sequence(standing_.archive(), sequence_rules_).empty()) { return ok_status(); }
  const int rounds = static_cast<int>(study::held_out_rounds(options_).size());
  VORTEX_ASSIGN(const std::vector<Assignment> tasks, held_out_tasks({dense_}, 1, rounds));
  VORTEX_ASSIGN(dense_lot_, evaluator_.start(tasks, false));
  return ok_status();
}

Status Rounds::finals() {
  VORTEX_TRY(take_asked());
  if (const int64_t lot = std::exchange(dense_lot_, 0); lot != 0) { VORTEX_TRY(evaluator_.wait(lot)); }
  if (!options_.confirm) { return ok_status(); }
  const double begun = session_.budget().used(study::Resource::kSeconds);
  VORTEX_TRY(ask_sequences());
  return ask_front(options_.seconds > 0 ? begun + study::kFinalsShare * options_.seconds : 0);
}

// Those that promise a claim. Who crashes on held-out problems leaves the standing, and another sequence may promise
// most.
Status Rounds::ask_sequences() {
  bool again = true;
  while (again && !session_.ended()) {
    const std::vector<int64_t> sequence = study::best_sequence(standing_.archive(), sequence_rules_);
    const auto fallback = study::fallback_of(standing_.archive(), sequence_rules_, sequence);
    const size_t at_once = options_.overlap > 0 ? std::max<size_t>(1, sequence.size()) : 1;
    Asked all;
    for (size_t first = 0; first < sequence.size() && !all.failed && all.kept.size() == first; first += at_once) {
      const auto begin = sequence.begin() + static_cast<std::ptrdiff_t>(first);
      VORTEX_ASSIGN(const Asked asked, ask_finalists({begin, begin + static_cast<std::ptrdiff_t>(at_once)}));
      if (session_.ended()) { return ok_status(); }
      all.failed = asked.failed;
      all.kept.insert(all.kept.end(), asked.kept.begin(), asked.kept.end());
    }
    if (!all.failed && all.kept.empty() && !sequence.empty() && fallback) {
      VORTEX_ASSIGN(all, ask_finalists({*fallback}));
      if (session_.ended()) { return ok_status(); }
    }
    again = all.failed;
    VORTEX_TRY(measure(all.kept));
  }
  return ok_status();
}

// Members of the front that nobody asked, from the most accurate to the fastest.
std::vector<int64_t> Rounds::unasked_front() {
  std::vector<study::Point> members = standing_.front();
  std::sort(members.begin(), members.end(),
            [](const study::Point& a, const study::Point& b) { return a.speed.ratio.value < b.speed.ratio.value; });
  std::vector<int64_t> candidates;
  for (const study::Point& member : members) {
    if (member.candidate != dense_ && trial_of(member.candidate) == nullptr) { candidates.push_back(member.candidate); }
  }
  return candidates;
}

// Until this second of the budget has come (0: whenever): those of whom a claim may be expected, until one is not kept.
// Then, where time is what limits a search, those of whom none is: their accuracy is known from problems on which they
// were selected.
Status Rounds::ask_front(double seconds) {
  const auto is_time = [&] {
    return !session_.ended() && (seconds <= 0 || session_.budget().used(study::Resource::kSeconds) < seconds);
  };
  const std::vector<int64_t> members = unasked_front();
  const std::vector<int64_t> promising = study::asked_sequence(standing_.archive(), sequence_rules_, members);
  std::vector<int64_t> kept;
  for (const int64_t candidate : promising) {
    if (!is_time()) { break; }
    VORTEX_ASSIGN(const Asked asked, ask_finalists({candidate}));
    if (asked.kept.empty()) { break; }
    kept.push_back(candidate);
  }
  if (!session_.ended()) { VORTEX_TRY(measure(kept)); }
  for (const int64_t candidate : members) {
    const bool promises = std::find(promising.begin(), promising.end(), candidate) != promising.end();
    if (promises || seconds <= 0 || !is_time()) { continue; }
    VORTEX_TRY(ask_finalists({candidate}));
  }
  return ok_status();
}

// The rules for one who was asked: those before it that promised a claim and were not kept make it harder.
study::SequenceRules Rounds::rules_for(int64_t candidate) const {
  std::vector<int64_t> lost;
  for (const Trial& earlier : trials_) {
    if (earlier.finalist.candidate == candidate) { break; }
    if (earlier.ended && !earlier.kept && !earlier.failed) { lost.push_back(earlier.finalist.candidate); }
  }
  study::SequenceRules rules = sequence_rules_;
  if (!lost.empty()) {
    rules.failures += static_cast<int>(study::asked_sequence(standing_.archive(), sequence_rules_, lost).size());
  }
  return rules;
}

Rounds::Trial* Rounds::trial_of(int64_t candidate) {
  const auto is_it = [&](const Trial& trial) { return trial.finalist.candidate == candidate; };
  const auto found = std::find_if(trials_.begin(), trials_.end(), is_it);
  return found == trials_.end() ? nullptr : &*found;
}

// Gives a place to those that have none. They are written down before anybody is asked: a later sitting goes on behind.
Status Rounds::add_trials(const std::vector<int64_t>& candidates) {
  db::Store& store = session_.store();
  if (trials_.empty()) {
    VORTEX_ASSIGN(const std::vector<db::Event> events, store.events(session_.run().id));
    for (const db::Event& event : events) {
      if (event.kind != kAskedEvent) { continue; }
      const auto detail = nlohmann::json::parse(event.detail, nullptr, false);
      Trial trial;
      trial.finalist.candidate = detail.value("candidate", int64_t{0});
      VORTEX_ASSIGN(const study::CandidateHistory own, study::read_candidate(store, trial.finalist.candidate));
      trial.finalist = study::finalist_of(own);
      trial.round = static_cast<int>(study::held_out_rounds(options_).size());
      const bool passed = study::point_of(own, options_.rank_speed, options_.seed).has_value();
      trial.failed = !passed || trial.finalist.outcomes.empty();  // it did not come to an answer
      trials_.push_back(std::move(trial));
    }
    VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(store, dense_));
    held_out_dense_ = study::held_out_outcomes(dense);
    for (Trial& trial : trials_) { judge(trial); }
  }
  for (const int64_t candidate : candidates) {
    if (trial_of(candidate) != nullptr) { continue; }
    VORTEX_TRY(store.add_event(session_.run().id, kAskedEvent, nlohmann::json({{"candidate", candidate}}).dump()));
    trials_.push_back({{candidate, {}, std::nullopt}});
  }
  for (const int64_t candidate : candidates) {
    trial_of(candidate)->round = 0;
    trial_of(candidate)->failed = false;
  }
  return ok_status();
}

// Round after round, each finalist until it is clear what can be said of it; of those asked at once a later one goes on
// where an earlier one turns out not to be kept. Where batches overlap there are workers for all rounds of dense
// attention at once, and for as many rounds of the finalists as make a batch: those behind the one that decides are not
// looked at. Else one round at a time, which dense attention answers first.
Result<Rounds::Asked> Rounds::ask_finalists(const std::vector<int64_t>& candidates) {
  const int rounds = static_cast<int>(study::held_out_rounds(options_).size());
  const int finalists = std::max(1, static_cast<int>(candidates.size()));
  const int at_once = options_.overlap > 0 ? std::max(1, options_.batch / finalists) : 1;
  if (options_.overlap > 0) { VORTEX_TRY(answer_held_out({dense_}, 1, rounds)); }
  VORTEX_TRY(add_trials(candidates));
  Asked asked;
  while (!session_.ended()) {
    int round = rounds;  // that the least advanced of those that go on has behind it
    for (const int64_t candidate : candidates) {
      Trial& trial = *trial_of(candidate);
      judge(trial);
      if (!trial.ended) { round = std::min(round, trial.round); }
    }
    if (round == rounds) { break; }
    std::vector<int64_t> next;
    for (const int64_t candidate : candidates) {
      const Trial& trial = *trial_of(candidate);
      if (!trial.ended && trial.round == round) { next.push_back(candidate); }
    }
    if (options_.overlap == 0) { VORTEX_TRY(answer_held_out({dense_}, round + 1, round + 1)); }
    VORTEX_TRY(answer_held_out(next, round + 1, std::min(rounds, round + at_once)));
    if (session_.ended()) { break; }
    for (const int64_t candidate : next) { VORTEX_TRY(take_held_out(*trial_of(candidate))); }
  }
  for (const int64_t candidate : candidates) {
    const Trial& trial = *trial_of(candidate);
    asked.failed = asked.failed || trial.failed;
    if (trial.kept) { asked.kept.push_back(candidate); }
  }
  return asked;
}

void Rounds::judge(Trial& trial) const {
  const study::SequenceRules rules = rules_for(trial.finalist.candidate);
  const bool answered = trial.round > 0 && !trial.failed;
  const study::Finalist seen = study::until_decided(trial.finalist, held_out_dense_, rules, options_.seed);
  trial.kept = answered && study::judge_claims({seen}, held_out_dense_, rules, options_.seed).front().kept;
  trial.ended = trial.failed || trial.round == static_cast<int>(study::held_out_rounds(options_).size()) ||
                (answered && study::is_decided(seen, held_out_dense_, rules, options_.seed));
}

// Takes in what a finalist answered in its next round.
Status Rounds::take_held_out(Trial& trial) {
  const int64_t candidate = trial.finalist.candidate;
  VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(session_.store(), dense_));
  VORTEX_ASSIGN(const study::CandidateHistory own, study::read_candidate(session_.store(), candidate));
  known_[candidate].confirmed = true;
  trial.failed = !study::point_of(own, options_.rank_speed, options_.seed).has_value();
  if (trial.failed) { absorb(own); }
  held_out_dense_ = study::held_out_outcomes(dense);
  trial.finalist = study::finalist_of(own, ++trial.round);
  return ok_status();
}

Result<std::optional<Assignment>> Rounds::held_out_task(int64_t candidate, int round) {
  std::optional<job::Job> job = study::held_out_job(options_, round);
  if (!job) { return std::optional<Assignment>{}; }
  job->dense = candidate == dense_;
  if (shelf_.contains(candidate)) {
    VORTEX_ASSIGN(const vflow::PolicySource source, shelf_.source(candidate));
    job->module_text = source.module_text;
    job->config_text = source.config_text;
    VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(session_.store(), dense_));
    job->incumbent = study::held_out_outcomes(dense);
  }
  Assignment task{Assignment::Kind::kConfirm, candidate, std::move(*job), round, true};
  if (const Trial* trial = trial_of(candidate)) { task.place = static_cast<int>(trial - trials_.data()) + 1; }
  return std::optional(std::move(task));
}

Result<std::vector<Assignment>> Rounds::held_out_tasks(const std::vector<int64_t>& candidates, int first, int last) {
  std::vector<Assignment> tasks;
  for (const int64_t candidate : candidates) {
    for (int round = first; round <= last; ++round) {
      VORTEX_ASSIGN(std::optional<Assignment> task, held_out_task(candidate, round));
      if (task) { tasks.push_back(std::move(*task)); }
    }
  }
  return tasks;
}

// Of these rounds of held-out problems.
Status Rounds::answer_held_out(const std::vector<int64_t>& candidates, int first, int last) {
  if (session_.ended()) { return ok_status(); }
  VORTEX_ASSIGN(const std::vector<Assignment> tasks, held_out_tasks(candidates, first, last));
  return evaluator_.run(tasks);
}

void Rounds::absorb(const study::CandidateHistory& today) {
  if (!study::is_done(today.row)) { return; }
  if (today.row.id == dense_) { dense_problem_seconds_ = study::fresh_problem_seconds(today); }
  const auto known = known_.find(today.row.id);
  const study::CandidateHistory candidate = study::as_of(today, known == known_.end() ? study::Known() : known->second);
  standing_.update(candidate);
  evaluator_.learn(candidate);
  const study::Archive& archive = standing_.archive();
  session_.change_progress([&](Progress& progress) {
    progress.front = static_cast<int>(archive.front().size());
    progress.best_speed = 1.0;
    for (const size_t member : archive.front()) {
      progress.best_speed = std::max(progress.best_speed, archive.points()[member].speed.ratio.value);
    }
  });
}

}  // namespace vortex::agent
