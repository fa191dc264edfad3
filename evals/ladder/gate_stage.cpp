#include <algorithm>
#include <map>

#include "base/percent.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/stages.h"
#include "evals/statistics.h"

namespace vortex::evals {
namespace {

// Accuracy of each task, by the kind and hash that its problems' ids begin with.
nlohmann::json accuracy_by_task(const std::vector<PreparedProblem>& problems,
                                const std::vector<job::Outcome>& outcomes) {
  std::map<std::string, const job::TaskSpec*> specs;
  for (const PreparedProblem& prepared : problems) { specs[prepared.problem.id] = prepared.spec; }
  std::map<const job::TaskSpec*, std::pair<double, double>> sums;
  for (const job::Outcome& outcome : outcomes) {
    auto& [right, all] = sums[specs.at(outcome.problem)];
    right += outcome.correct ? 1 : 0;
    all += 1;
  }
  nlohmann::json json = nlohmann::json::array();
  for (const auto& [spec, sum] : sums) {
    json.push_back({{"task", job::task_summary(*spec)}, {"accuracy", sum.first / sum.second}});
  }
  return json;
}

}  // namespace

Result<job::StageResult> run_gate(Session& session) {
  engine::RunStats stats;
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  VORTEX_ASSIGN(result.outcomes, answer(session, session.gate, 0, session.gate.size(), session.job.task.seed, stats));
  VORTEX_ASSIGN(result.evidence, evidence_of(session, stats));
  result.evidence["tasks"] = accuracy_by_task(session.gate, result.outcomes);
  std::vector<job::Outcome> dense = result.outcomes;
  if (session.policy) { VORTEX_ASSIGN(dense, dense_outcomes(session, session.gate, session.job.task.seed)); }
  const Interval own = accuracy_interval(result.outcomes, session.job.seed);
  const Interval yardstick = accuracy_interval(dense, session.job.seed);
  if (yardstick.value <= 0) {
    return candidate_error("dense attention is right in none of the gate's problems: they tell nothing about a policy",
                           "take shorter or simpler tasks, or leave the gate out");
  }
  const double scale = 1 / yardstick.value;
  result.metrics = {{"gate_accuracy", own.value, own.lo, own.hi, ""},
                    {"gate_dense_accuracy", yardstick.value, yardstick.lo, yardstick.hi, ""},
                    {"gate_ratio", own.value * scale, own.lo * scale, own.hi * scale, ""}};
  if (own.hi < session.job.gate_bar * yardstick.value) {
    result.verdict = job::Verdict::kPruned;
    result.message = "retrieves " + percent(own.value) + " (at most " + percent(own.hi) +
                     ") where dense attention has " + percent(yardstick.value) + ": below the bar of " +
                     percent(session.job.gate_bar) + " of that";
  }
  return result;
}

}  // namespace vortex::evals
