#include "evals/ladder/planned.h"

#include <algorithm>
#include <map>
#include <span>

#include "core/engine/workload/timing.h"

namespace vortex::evals {
namespace {

constexpr int kPromptTokens = 256;  // a prompt of so many at most is timed, and scaled

using Known = std::map<std::pair<std::string, int>, int>;

// Tokens of dense attention's answers.
Known incumbent_answers(const Session& session) {
  Known known;
  for (const job::Outcome& outcome : session.job.incumbent) {
    known[{outcome.problem, outcome.trial}] = outcome.tokens;
  }
  return known;
}

std::vector<engine::RequestLength> requests_of(std::span<const PreparedProblem> problems, const Known& known) {
  std::vector<engine::RequestLength> requests;
  for (const PreparedProblem& prepared : problems) {
    for (int trial = 0; trial < prepared.spec->trials; ++trial) {
      const int number = trial * static_cast<int>(prepared.problem.answers.size());
      const auto found = known.find({prepared.problem.id, number});
      const int answer = found == known.end() ? prepared.spec->max_new_tokens : std::max(1, found->second);
      requests.push_back({static_cast<int>(prepared.prompt.size()), answer});
    }
  }
  return requests;
}

const vflow::Policy* policy_of(const Session& session) { return session.policy ? &*session.policy : nullptr; }

// Seconds a byte of a window in the middle of the plan.
Result<double> time_byte(engine::Stepper& stepper, const engine::Plan& plan, const std::vector<double>& round_bytes) {
  engine::PlanSampling sampling;
  sampling.windows = 1;
  sampling.steps.warm_up = 1;
  sampling.steps.samples = 1;
  sampling.steps.steps = 1;
  VORTEX_ASSIGN(const engine::PlanTime time, engine::time_plan(stepper, plan, round_bytes, {}, sampling));
  return time.windows.front().step.median / time.windows.front().bytes;
}

// Seconds a token of a prompt.
Result<double> time_prompt_token(engine::Stepper& stepper, const std::vector<PreparedProblem>& problems) {
  const int tokens = std::min(kPromptTokens, static_cast<int>(problems.front().prompt.size()));
  VORTEX_ASSIGN(const double seconds, engine::time_prompt(stepper, tokens));
  return seconds / tokens;
}

// The decode steps of answering `problems` once.
struct Decoding {
  engine::Plan plan;
  std::vector<double> round_bytes;  // of a step of each of the plan's rounds
  double bytes = 0;                 // of all steps
};

Decoding decoding_of(Session& session, const engine::Stepper& stepper, std::span<const PreparedProblem> problems,
                     const Known& known) {
  Decoding decoding;
  decoding.plan = engine::plan_requests(requests_of(problems, known), engine::limits_of(stepper));
  decoding.round_bytes = engine::bytes_of_rounds(decoding.plan, session.engine->model().config, policy_of(session),
                                                 stepper.kv_dtype(), stepper.expert_dtype());
  decoding.bytes = engine::bytes_of_steps(decoding.plan, decoding.round_bytes);
  return decoding;
}

// Seconds of answering `problems` once.
Result<double> answering(Session& session, const std::vector<PreparedProblem>& problems, const Known& known) {
  const auto stepper = session.engine->stepper();
  const Decoding decoding = decoding_of(session, *stepper, problems, known);
  if (decoding.plan.steps == 0) { return 0.0; }
  Pace& pace = session.pace;
  if (pace.seconds_per_byte == 0) {
    VORTEX_ASSIGN(pace.seconds_per_byte, time_byte(*stepper, decoding.plan, decoding.round_bytes));
  }
  double seconds = decoding.bytes * pace.seconds_per_byte;
  // Dense attention climbs first and leaves its prompts behind.
  if (!session.job.dense && !session.job.prefix_folder.empty()) { return seconds; }
  if (pace.seconds_per_prompt_token == 0) {
    VORTEX_ASSIGN(pace.seconds_per_prompt_token, time_prompt_token(*stepper, problems));
  }
  for (const PreparedProblem& prepared : problems) {
    seconds += static_cast<double>(prepared.prompt.size()) * pace.seconds_per_prompt_token;
  }
  return seconds;
}

// Does dense attention have to answer here, too?
bool dense_answers_as_well(const Session& session, const std::vector<PreparedProblem>& problems, const Known& known) {
  return session.policy && std::any_of(problems.begin(), problems.end(), [&](const PreparedProblem& prepared) {
           return !known.contains({prepared.problem.id, 0});
         });
}

}  // namespace

double bytes_of_answering(Session& session, std::span<const PreparedProblem> problems) {
  return decoding_of(session, *session.engine->stepper(), problems, incumbent_answers(session)).bytes;
}

Result<double> planned_seconds(Session& session, job::Stage stage) {
  if (stage == job::Stage::kSpeed) { return session.job.speed_seconds; }
  const std::vector<PreparedProblem>* problems = nullptr;
  if (stage == job::Stage::kRace) { problems = &session.problems; }
  if (stage == job::Stage::kGate) { problems = &session.gate; }
  if (stage == job::Stage::kConfirm) { problems = &session.held_out; }
  if (problems == nullptr || problems->empty()) { return 0.0; }
  const Known known = incumbent_answers(session);
  VORTEX_ASSIGN(const double seconds, answering(session, *problems, known));
  return stage != job::Stage::kRace && dense_answers_as_well(session, *problems, known) ? 2 * seconds : seconds;
}

}  // namespace vortex::evals
