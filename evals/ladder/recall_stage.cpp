#include <algorithm>
#include <cmath>

#include "evals/ladder/evidence.h"
#include "evals/ladder/selected_mass.h"
#include "evals/ladder/stages.h"
#include "evals/ladder/trace.h"
#include "evals/statistics.h"

namespace vortex::evals {
namespace {

constexpr int kMassEvery = 8;  // decode steps between two looks at the softmax mass: a look costs about a dense step

// What came of one problem.
struct Recall {
  std::vector<double> mass;  // per layer, mean over the steps looked at
  double kl = 0;             // mean over positions
};

// KL divergence of the policy's next-token distribution from dense attention's, on the trace's top tokens and the rest
// taken as one; by the data-processing inequality no more than the whole one.
double coarse_kl(const std::vector<int32_t>& top, const std::vector<float>& dense, const float* policy) {
  double divergence = 0;
  double dense_rest = 1;
  double policy_rest = 1;
  for (size_t i = 0; i < top.size(); ++i) {
    const double p = std::exp(static_cast<double>(dense[i]));
    const auto log_q = static_cast<double>(policy[top[i]]);
    divergence += p * (static_cast<double>(dense[i]) - log_q);
    dense_rest -= p;
    policy_rest -= std::exp(log_q);
  }
  constexpr double kTiny = 1e-7;  // below this the rest is rounding of float32 log-probabilities
  if (dense_rest > kTiny) divergence += dense_rest * std::log(dense_rest / std::max(policy_rest, kTiny));
  return std::max(0.0, divergence);
}

// Feeds a trace through the policy; adds an outcome a position to `agreement` (is the most probable token the same?).
Result<Recall> replay(Session& session, PreparedProblem& prepared, const DenseTrace& trace,
                      std::vector<job::Outcome>& agreement, engine::RunStats& stats) {
  const model::ModelConfig& config = session.engine->model().config;
  const int group = config.num_q_heads / config.num_kv_heads;
  const double scale = 1 / std::sqrt(static_cast<double>(config.head_dim));
  Recall recall;
  recall.mass.assign(static_cast<size_t>(config.num_layers), 0);
  std::vector<int> steps(static_cast<size_t>(config.num_layers), 0);
  std::vector<int> looks(static_cast<size_t>(config.num_layers), 0);
  const engine::AttentionObserver observer = [&](const engine::AttentionView& view) {
    const auto layer = static_cast<size_t>(view.layer);
    if (steps[layer]++ % kMassEvery != 0) return;
    recall.mass[layer] += selected_mass(view, group, scale);
    ++looks[layer];
  };
  VORTEX_ASSIGN(const engine::Request request, request_of(session, prepared));
  engine::RunStats run;
  VORTEX_ASSIGN(const std::vector<float> log_probs,
                session.engine->teacher_force(request, trace.tokens, observer, &run));
  add_stats(run, stats);
  for (size_t layer = 0; layer < recall.mass.size(); ++layer) {
    recall.mass[layer] = looks[layer] > 0 ? recall.mass[layer] / looks[layer] : 1.0;
  }

  const size_t vocab = log_probs.size() / trace.tokens.size();
  for (size_t at = 0; at < trace.tokens.size(); ++at) {
    const float* policy = &log_probs[at * vocab];
    recall.kl += coarse_kl(trace.top[at], trace.log_probs[at], policy) / static_cast<double>(trace.tokens.size());
    job::Outcome outcome;
    outcome.problem = prepared.problem.id;
    outcome.trial = static_cast<int>(at);
    outcome.correct = std::max_element(policy, policy + vocab) - policy == trace.top[at].front();
    agreement.push_back(outcome);
  }
  return recall;
}

double mean_over_sparse_layers(const std::vector<double>& mass, const vflow::EngineConfig& config) {
  double sum = 0;
  int sparse = 0;
  for (size_t layer = 0; layer < mass.size(); ++layer) {
    if (vflow::layer_is_dense(config, static_cast<int>(layer))) continue;
    sum += mass[layer];
    ++sparse;
  }
  return sparse > 0 ? sum / sparse : 1.0;
}

job::Metric metric(const char* name, const Interval& interval, const char* unit = "") {
  return {name, interval.value, interval.lo, interval.hi, unit};
}

// Dense attention is the yardstick itself; making its traces here spares the candidates after it.
job::StageResult dense_recall() {
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  result.metrics = {{"mass_recall", 1, 1, 1, ""}, {"next_token_agreement", 1, 1, 1, ""}, {"kl", 0, 0, 0, "nat"}};
  return result;
}

}  // namespace

Result<job::StageResult> run_recall(Session& session) {
  const size_t count = std::min(session.problems.size(), static_cast<size_t>(session.job.recall_problems));
  VORTEX_ASSIGN(const std::vector<DenseTrace> traces, dense_traces(session, count));
  if (!session.policy) {
    job::StageResult result = dense_recall();
    result.evidence = evidence_of(session);
    return result;
  }
  const int layers = session.engine->model().config.num_layers;
  std::vector<job::Outcome> agreement;
  std::vector<double> mass;
  std::vector<double> kl;
  std::vector<double> layer_mass(static_cast<size_t>(layers), 0);
  engine::RunStats stats;
  for (size_t i = 0; i < count; ++i) {
    VORTEX_ASSIGN(const Recall recall, replay(session, session.problems[i], traces[i], agreement, stats));
    kl.push_back(recall.kl);
    mass.push_back(mean_over_sparse_layers(recall.mass, session.policy->config));
    for (size_t layer = 0; layer < layer_mass.size(); ++layer) {
      layer_mass[layer] += recall.mass[layer] / static_cast<double>(count);
    }
  }
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  result.metrics = {metric("mass_recall", median_interval(mass)),
                    metric("next_token_agreement", accuracy_interval(agreement, session.job.seed)),
                    metric("kl", median_interval(kl), "nat")};
  VORTEX_ASSIGN(result.evidence, evidence_of(session, stats));
  result.evidence["mass_per_layer"] = layer_mass;
  result.evidence["positions"] = agreement.size();
  return result;
}

}  // namespace vortex::evals
