#include "evals/ladder/recall_metrics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace vortex::evals {
namespace {

float log_of(double p) { return static_cast<float>(std::log(p)); }

TEST(CoarseKl, IsOfTheTokensAndTheRest) {
  const std::vector<float> dense = {log_of(0.5), log_of(0.25)};
  EXPECT_NEAR(coarse_kl(dense, dense), 0, 1e-6);
  const std::vector<float> policy = {log_of(0.25), log_of(0.25)};
  EXPECT_NEAR(coarse_kl(dense, policy), 0.5 * std::log(2.0) + 0.25 * std::log(0.5), 1e-6);
  const std::vector<float> sure = {log_of(0.75), log_of(0.25)};
  const std::vector<float> swapped = {log_of(0.25), log_of(0.75)};
  EXPECT_NEAR(coarse_kl(sure, swapped), 0.5 * std::log(3.0), 1e-6) << "nothing is left over";
}

DenseTrace trace_of_two() {
  return {{7, 9}, {{7, 3}, {4, 9}}, {{log_of(0.5), log_of(0.25)}, {log_of(0.5), log_of(0.25)}}};
}

engine::Forced forced_of_two() {
  engine::Forced forced;
  forced.log_probs = {log_of(0.5), log_of(0.125)};
  forced.wanted = {{log_of(0.5), log_of(0.25)}, {log_of(0.25), log_of(0.25)}};
  forced.top = {{7}, {9}};
  return forced;
}

TEST(RecallOfATrace, ComparesPositionByPosition) {
  const DenseTrace trace = trace_of_two();
  const engine::Forced forced = forced_of_two();
  const double second = 0.5 * std::log(2.0) + 0.25 * std::log(0.5);
  EXPECT_NEAR(mean_kl(trace, forced), second / 2, 1e-6);
  EXPECT_NEAR(mean_log_likelihood(forced), (std::log(0.5) + std::log(0.125)) / 2, 1e-6);
  const std::vector<job::Outcome> outcomes = agreement("p", trace, forced);
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_TRUE(outcomes[0].correct);
  EXPECT_FALSE(outcomes[1].correct);
  EXPECT_EQ(outcomes[1].trial, 1);
  EXPECT_EQ(outcomes[1].problem, "p");
}

TEST(MeanShares, LeavesOutLayersThatChooseNothing) {
  vflow::EngineConfig config;
  config.layers_skip = {0};
  std::vector<engine::AttentionRecall> recall(3 * 2);  // three layers of two kv heads
  recall[0] = {0.1, 0.1, 0.1, 0.1, 5};                 // dense: not counted whatever it says
  recall[2] = {0.5, 0.25, 0.5, 0.0, 5};
  recall[3] = {1.0, 0.75, 1.0, 0.5, 5};
  const AttentionShares shares = mean_shares(recall, 2, config);  // nobody looked at layer 2
  EXPECT_DOUBLE_EQ(shares.mass, 0.75);
  EXPECT_DOUBLE_EQ(shares.mass_chosen, 0.5);
  EXPECT_DOUBLE_EQ(shares.index, 0.75);
  EXPECT_DOUBLE_EQ(shares.index_chosen, 0.25);
  config.layers_skip = {0, 1, 2};
  EXPECT_DOUBLE_EQ(mean_shares(recall, 2, config).mass_chosen, 1);
}

TEST(RecallMetrics, AreMediansOverProblems) {
  std::vector<ProblemRecall> problems(3);
  for (size_t i = 0; i < problems.size(); ++i) {
    problems[i].shares = {0.5 + 0.1 * static_cast<double>(i), 0.3, 0.2, 0.1};
    problems[i].kl = static_cast<double>(i);
    problems[i].agreement = agreement("p" + std::to_string(i), trace_of_two(), forced_of_two());
  }
  const std::vector<job::Metric> metrics = recall_metrics(problems, 1);
  const auto value = [&](const char* name) {
    const job::Metric* metric = job::find_metric(metrics, name);
    EXPECT_NE(metric, nullptr) << name;
    return metric == nullptr ? -1 : metric->value;
  };
  EXPECT_DOUBLE_EQ(value("mass_recall"), 0.6);
  EXPECT_DOUBLE_EQ(value("mass_recall_chosen"), 0.3);
  EXPECT_DOUBLE_EQ(value("index_recall"), 0.2);
  EXPECT_DOUBLE_EQ(value("index_recall_chosen"), 0.1);
  EXPECT_DOUBLE_EQ(value("kl"), 1);
  EXPECT_DOUBLE_EQ(value("next_token_agreement"), 0.5);
  EXPECT_EQ(job::find_metric(metrics, "answer_log_likelihood"), nullptr) << "answers.h has those of right answers";
  EXPECT_EQ(job::find_metric(metrics, "answer_kl"), nullptr);
}

}  // namespace
}  // namespace vortex::evals
