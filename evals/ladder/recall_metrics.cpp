#include "evals/ladder/recall_metrics.h"

#include <algorithm>
#include <cmath>

#include "evals/statistics.h"

namespace vortex::evals {
namespace {

job::Metric metric(const char* name, const Interval& interval, const char* unit = "") {
  return {name, interval.value, interval.lo, interval.hi, unit};
}

// The median of what `value` gives of each problem; problems of which it gives nothing are left out.
template <class Value>
void add_median(const char* name, const char* unit, const std::vector<ProblemRecall>& problems, const Value& value,
                std::vector<job::Metric>& metrics) {
  std::vector<double> values;
  for (const ProblemRecall& problem : problems) {
    if (const std::optional<double> one = value(problem)) { values.push_back(*one); }
  }
  if (!values.empty()) { metrics.push_back(metric(name, median_interval(std::move(values)), unit)); }
}

}  // namespace

double coarse_kl(std::span<const float> dense, std::span<const float> policy) {
  double divergence = 0;
  double dense_rest = 1;
  double policy_rest = 1;
  for (size_t i = 0; i < dense.size(); ++i) {
    const auto log_p = static_cast<double>(dense[i]);
    const auto log_q = static_cast<double>(policy[i]);
    divergence += std::exp(log_p) * (log_p - log_q);
    dense_rest -= std::exp(log_p);
    policy_rest -= std::exp(log_q);
  }
  constexpr double kTiny = 1e-7;  // below this the rest is rounding of float32 log-probabilities
  if (dense_rest > kTiny) { divergence += dense_rest * std::log(dense_rest / std::max(policy_rest, kTiny)); }
  return std::max(0.0, divergence);
}

double mean_kl(const DenseTrace& trace, const engine::Forced& forced) {
  double sum = 0;
  for (size_t at = 0; at < trace.tokens.size(); ++at) { sum += coarse_kl(trace.log_probs[at], forced.wanted[at]); }
  return sum / static_cast<double>(trace.tokens.size());
}

double mean_log_likelihood(const engine::Forced& forced) {
  double sum = 0;
  for (const float log_prob : forced.log_probs) { sum += static_cast<double>(log_prob); }
  return sum / static_cast<double>(forced.log_probs.size());
}

std::vector<job::Outcome> agreement(const std::string& problem, const DenseTrace& trace, const engine::Forced& forced) {
  std::vector<job::Outcome> outcomes;
  for (size_t at = 0; at < trace.tokens.size(); ++at) {
    job::Outcome outcome;
    outcome.problem = problem;
    outcome.trial = static_cast<int>(at);
    outcome.correct = forced.top[at].front() == trace.top[at].front();
    outcomes.push_back(outcome);
  }
  return outcomes;
}

AttentionShares mean_shares(std::span<const engine::AttentionRecall> recall, int kv_heads,
                            const vflow::EngineConfig& config) {
  AttentionShares sum{0, 0, 0, 0};
  int counted = 0;
  for (size_t i = 0; i < recall.size(); ++i) {
    const int layer = static_cast<int>(i) / kv_heads;
    if (vflow::layer_is_dense(config, layer) || recall[i].looks == 0) { continue; }
    sum.mass += recall[i].mass;
    sum.mass_chosen += recall[i].mass_chosen;
    sum.index += recall[i].index;
    sum.index_chosen += recall[i].index_chosen;
    ++counted;
  }
  if (counted == 0) { return {}; }
  return {sum.mass / counted, sum.mass_chosen / counted, sum.index / counted, sum.index_chosen / counted};
}

std::vector<job::Metric> recall_metrics(const std::vector<ProblemRecall>& problems, uint64_t seed) {
  std::vector<job::Metric> metrics;
  const auto share = [&](const char* name, double AttentionShares::*member) {
    add_median(
        name, "", problems, [&](const ProblemRecall& problem) { return std::optional(problem.shares.*member); },
        metrics);
  };
  share("mass_recall", &AttentionShares::mass);
  share("mass_recall_chosen", &AttentionShares::mass_chosen);
  share("index_recall", &AttentionShares::index);
  share("index_recall_chosen", &AttentionShares::index_chosen);
  std::vector<job::Outcome> positions;
  for (const ProblemRecall& problem : problems) {
    positions.insert(positions.end(), problem.agreement.begin(), problem.agreement.end());
  }
  metrics.push_back(metric("next_token_agreement", accuracy_interval(positions, seed)));
  add_median(
      "kl", "nat", problems, [](const ProblemRecall& problem) { return std::optional(problem.kl); }, metrics);
  return metrics;
}

}  // namespace vortex::evals
