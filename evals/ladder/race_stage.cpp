#include <algorithm>
#include <iterator>
#include <set>

#include "base/percent.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/expected_race.h"
#include "evals/ladder/race_rounds.h"
#include "evals/ladder/stages.h"
#include "evals/statistics.h"

namespace vortex::evals {
namespace {

// What is known of a candidate's answers so far, beside the incumbent's.
struct Standing {
  Interval accuracy;
  Interval difference;
  bool paired = false;  // the incumbent has answered some of these problems
};

Standing standing_of(const std::vector<job::Outcome>& outcomes, const std::vector<job::Outcome>& incumbent,
                     uint64_t seed) {
  Standing standing;
  standing.accuracy = accuracy_interval(outcomes, seed);
  standing.difference = paired_difference(outcomes, incumbent, seed);
  std::set<std::pair<std::string, int>> known;
  for (const job::Outcome& outcome : incumbent) { known.emplace(outcome.problem, outcome.trial); }
  standing.paired = std::any_of(outcomes.begin(), outcomes.end(), [&](const job::Outcome& outcome) {
    return known.count({outcome.problem, outcome.trial}) > 0;
  });
  return standing;
}

// The outcomes' result: pruned when the difference to the incumbent lies wholly below the margin.
job::StageResult judged(const Session& session, const Standing& standing, std::vector<job::Outcome> outcomes,
                        size_t answered) {
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  const Interval& accuracy = standing.accuracy;
  result.metrics.push_back({"accuracy", accuracy.value, accuracy.lo, accuracy.hi, ""});
  if (standing.paired) {
    const Interval& difference = standing.difference;
    result.metrics.push_back({"accuracy_difference", difference.value, difference.lo, difference.hi, ""});
    if (difference.hi < -session.job.race_margin) {
      result.verdict = job::Verdict::kPruned;
      result.message = "right in " + percent(accuracy.value) + " of " + std::to_string(answered) +
                       " problems; the difference to the incumbent is at most " + percent(difference.hi) +
                       ", below the margin of " + percent(-session.job.race_margin);
    }
  }
  const auto problems = static_cast<double>(answered);
  result.metrics.push_back({"problems", problems, problems, problems, ""});
  result.outcomes = std::move(outcomes);
  return result;
}

// Where problems are answered several times: the chance that one of these answers is right. Tasks that ask a problem
// for several answers at once have no such thing.
void add_pass_at_k(const std::vector<PreparedProblem>& problems, uint64_t seed, job::StageResult& result) {
  const int trials = problems.front().spec->trials;
  const bool one_answer = std::all_of(problems.begin(), problems.end(), [](const PreparedProblem& prepared) {
    return prepared.problem.answers.size() == 1;
  });
  if (trials < 2 || !one_answer) { return; }
  const Interval chance = pass_at_k(result.outcomes, trials, seed);
  result.metrics.push_back({"pass_at_" + std::to_string(trials), chance.value, chance.lo, chance.hi, ""});
}

}  // namespace

Result<job::StageResult> run_race(Session& session) {
  std::vector<job::Outcome> outcomes;
  engine::RunStats stats;
  std::vector<size_t> rounds;
  Standing standing;
  std::optional<ExpectedRace> expected;
  bool lost = false;  // by what is expected of the problems that were not asked
  const size_t first = first_round(session);
  for (size_t answered = 0; answered < session.problems.size();) {
    const size_t goal = std::min(session.problems.size(), std::max(first, 2 * answered));
    VORTEX_ASSIGN(std::vector<job::Outcome> round,
                  answer(session, session.problems, answered, goal - answered, session.job.task.seed, stats));
    std::move(round.begin(), round.end(), std::back_inserter(outcomes));
    answered = goal;
    rounds.push_back(answered);
    standing = standing_of(outcomes, session.job.incumbent, session.job.seed);
    if (standing.paired && standing.difference.hi < -session.job.race_margin) { break; }
    expected = expected_race(session, outcomes);
    lost = standing.paired && expected && surely_lost(*expected, session);
    if (lost) { break; }
  }
  VORTEX_ASSIGN(nlohmann::json evidence, evidence_of(session, stats));
  session.raced = outcomes;
  if (expected) { evidence["expected_difference"] = expected->difference.value; }
  job::StageResult result = judged(session, standing, std::move(outcomes), rounds.back());
  if (lost) {
    result.verdict = job::Verdict::kPruned;
    result.message = "right in " + percent(standing.accuracy.value) + " of " + std::to_string(rounds.back()) +
                     " problems; " + lost_text(*expected, session);
  }
  add_pass_at_k(session.problems, session.job.seed, result);
  result.evidence = std::move(evidence);
  result.evidence["rounds"] = rounds;
  result.evidence["task"] = job::task_summary(session.job.task);
  return result;
}

Result<job::StageResult> run_confirm(Session& session) {
  engine::RunStats stats;
  VORTEX_ASSIGN(std::vector<job::Outcome> outcomes,
                answer(session, session.held_out, 0, session.held_out.size(), session.job.confirm_seed, stats));
  VORTEX_ASSIGN(nlohmann::json evidence, evidence_of(session, stats));
  VORTEX_ASSIGN(const std::vector<job::Outcome> incumbent,
                dense_outcomes(session, session.held_out, session.job.confirm_seed));
  const Standing standing = standing_of(outcomes, incumbent, session.job.seed);
  job::StageResult result = judged(session, standing, std::move(outcomes), session.held_out.size());
  add_pass_at_k(session.held_out, session.job.seed, result);
  result.evidence = std::move(evidence);
  result.evidence["confirm_seed"] = session.job.confirm_seed;
  result.evidence["task"] = job::task_summary(session.held_out_task);
  if (!incumbent.empty()) {
    const Interval dense = accuracy_interval(incumbent, session.job.seed);
    result.metrics.push_back({"dense_accuracy", dense.value, dense.lo, dense.hi, ""});
  }
  return result;
}

}  // namespace vortex::evals
