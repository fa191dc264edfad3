#include "evals/ladder/workload.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/rng.h"

namespace vortex::evals {
namespace {

constexpr int kFillings = 4;  // the pool is filled so many times where the task does not say how many requests
constexpr int kMostRequests = 1 << 14;
constexpr size_t kMostDonors = 32;

// Answers' lengths of these outcomes, those of the session's problems alone.
std::vector<int> lengths_of(const std::vector<job::Outcome>& outcomes, const std::vector<PreparedProblem>& problems) {
  std::set<std::string> known;
  for (const PreparedProblem& prepared : problems) { known.insert(prepared.problem.id); }
  std::vector<int> lengths;
  for (const job::Outcome& outcome : outcomes) {
    if (known.contains(outcome.problem)) { lengths.push_back(std::max(1, outcome.tokens)); }
  }
  return lengths;
}

// Where lengths come from, and these in the order in which they are served.
struct Answers {
  std::string source;
  std::vector<int> lengths;
};

Answers known_answers(const Session& session) {
  const std::vector<job::Outcome>& dense = session.job.dense ? session.raced : session.job.incumbent;
  Answers answers{"dense attention's in this search", lengths_of(dense, session.problems)};
  if (answers.lengths.empty()) { answers = {"this climb's own", lengths_of(session.raced, session.problems)}; }
  if (answers.lengths.empty()) { answers = {"as long as they may be", {session.job.task.max_new_tokens}}; }
  // Long answers must not come together because their problems are neighbours.
  Rng rng(stream_key(session.job.task.seed));
  for (size_t i = answers.lengths.size(); i > 1; --i) {
    std::swap(answers.lengths[i - 1], answers.lengths[rng.below(i)]);
  }
  return answers;
}

double mean_of(const std::vector<int>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<int> prompts_of(const Session& session, const job::WorkloadSpec& spec) {
  if (spec.prompt > 0) { return {spec.prompt}; }
  std::vector<int> prompts;
  for (const PreparedProblem& prepared : session.problems) {
    prompts.push_back(static_cast<int>(prepared.prompt.size()));
  }
  return prompts;
}

// As many requests as fill dense attention's pool a few times over, at least as many answers as the task asks for.
int count_requests(const Session& session, const engine::Stepper& stepper, double mean_tokens) {
  const double pool = static_cast<double>(stepper.pages()) * stepper.block_size();
  const double together = std::clamp(pool / mean_tokens, 1.0, static_cast<double>(stepper.max_batch()));
  const int asked = static_cast<int>(session.problems.size()) * session.job.task.trials;
  return std::min(kMostRequests, std::max(asked, static_cast<int>(kFillings * together)));
}

// Prompts whose K and V are at hand, where they are most of what is attended to.
Result<std::vector<engine::PrefixPtr>> donors_of(Session& session, const std::vector<int>& prompts,
                                                 double mean_tokens) {
  std::vector<engine::PrefixPtr> donors;
  if (session.driver != 0 || session.job.prefix_folder.empty() || 2 * mean_of(prompts) < mean_tokens) { return donors; }
  for (size_t i = 0; i < std::min(session.problems.size(), kMostDonors); ++i) {
    VORTEX_ASSIGN(const engine::Request request, request_of(session, session.problems[i]));
    if (request.prefix != nullptr) { donors.push_back(request.prefix); }
  }
  return donors;
}

}  // namespace

bool measures_fixed_work(const job::TaskSpec& task, bool on_device) {
  if (task.workload) { return task.workload->answers == "fixed"; }
  return task.kind == "chain" && !on_device;
}

int workload_context(const job::TaskSpec& task, int longest_prompt, int positions) {
  if (!task.workload || task.workload->answers != "lognormal") { return 0; }
  const int prompt = task.workload->prompt > 0 ? task.workload->prompt : longest_prompt;
  return std::min(positions, prompt + task.workload->longest);
}

Result<ServedLoad> served_load(Session& session) {
  const job::WorkloadSpec spec = session.job.task.workload.value_or(job::WorkloadSpec());
  const std::vector<int> prompts = prompts_of(session, spec);
  VORTEX_TRY(session.engine->set_policy(std::nullopt));
  const auto stepper = session.engine->stepper();
  Answers answers;
  const engine::LogNormal distribution{spec.mean, spec.sigma, spec.longest};
  const bool drawn = spec.answers == "lognormal";
  if (!drawn) { answers = known_answers(session); }
  const double mean = mean_of(prompts) + (drawn ? spec.mean : mean_of(answers.lengths));
  const int count = spec.requests > 0 ? spec.requests : count_requests(session, *stepper, mean);
  if (drawn) { answers = {"log-normal", engine::draw_lengths(distribution, count, spec.seed)}; }

  ServedLoad served;
  const auto room = static_cast<int>(
      std::min<int64_t>(stepper->max_context(), stepper->pages() * stepper->block_size() - stepper->block_size()));
  int cut = 0;
  double tokens = 0;
  int longest = 0;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    engine::RequestLength request{prompts[at % prompts.size()], answers.lengths[at % answers.lengths.size()]};
    if (request.prompt + request.answer > room) { ++cut; }
    request.prompt = std::min(request.prompt, room - 1);
    request.answer = std::min(request.answer, room - request.prompt);
    tokens += request.answer;
    longest = std::max(longest, request.answer);
    served.load.requests.push_back(request);
  }
  VORTEX_ASSIGN(served.load.donors, donors_of(session, prompts, mean));
  served.evidence = {{"answers", answers.source},     {"requests", count},         {"mean_prompt", mean_of(prompts)},
                     {"mean_answer", tokens / count}, {"longest_answer", longest}, {"cut_to_fit", cut}};
  return served;
}

}  // namespace vortex::evals
