#include "kernels/cpu/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "base/rng.h"

namespace vortex::cpu {
namespace {

struct Chosen {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Chosen choose(const ExpertRule& rule, const std::vector<float>& logits) {
  Chosen chosen;
  chosen.experts.resize(static_cast<size_t>(rule.chosen));
  chosen.weights.resize(chosen.experts.size());
  choose_experts(rule, logits.data(), chosen.experts.data(), chosen.weights.data());
  return chosen;
}

ExpertRule rule_of(int experts, int chosen, bool sigmoid) {
  ExpertRule rule;
  rule.experts = experts;
  rule.chosen = chosen;
  rule.sigmoid = sigmoid;
  return rule;
}

TEST(Router, LogitsAreProducts) {
  Rng rng(1);
  std::vector<float> x(37);
  std::vector<float> weights(5 * x.size());
  for (float& value : x) { value = static_cast<float>(rng.uniform() - 0.5); }
  for (float& value : weights) { value = static_cast<float>(rng.uniform() - 0.5); }
  std::vector<float> logits(5);
  router_logits(x.data(), weights.data(), 5, 37, logits.data());
  for (size_t e = 0; e < 5; ++e) {
    double expected = 0;
    for (size_t i = 0; i < x.size(); ++i) { expected += static_cast<double>(x[i]) * weights[e * x.size() + i]; }
    EXPECT_NEAR(logits[e], expected, 1e-6);
  }
}

TEST(Router, EqualScoresGoToTheLowerIndex) {
  for (const bool sigmoid : {false, true}) {
    EXPECT_EQ(choose(rule_of(6, 3, sigmoid), {1, 2, 2, 0, 2, 2}).experts, (std::vector<int32_t>{1, 2, 4}));
    EXPECT_EQ(choose(rule_of(4, 4, sigmoid), {5, 5, 5, 5}).experts, (std::vector<int32_t>{0, 1, 2, 3}));
  }
}

TEST(Router, WhatIsNoNumberComesLastAndNothingTwice) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(choose(rule_of(4, 3, true), {nan, -3, nan, 4}).experts, (std::vector<int32_t>{3, 1, 0}));
  const Chosen lost = choose(rule_of(5, 3, true), std::vector<float>(5, nan));
  EXPECT_EQ(std::set<int32_t>(lost.experts.begin(), lost.experts.end()).size(), 3U);
}

TEST(Router, WeightsAreTheScores) {
  const Chosen plain = choose(rule_of(3, 2, false), {0.0F, std::log(2.0F), std::log(5.0F)});
  EXPECT_EQ(plain.experts, (std::vector<int32_t>{2, 1}));
  EXPECT_FLOAT_EQ(plain.weights[0], 5.0F / 8);
  EXPECT_FLOAT_EQ(plain.weights[1], 2.0F / 8);
  ExpertRule rule = rule_of(3, 2, true);
  rule.normalised = true;
  rule.scale = 1.8F;
  const Chosen scaled = choose(rule, {0.0F, -1.0F, 3.0F});
  EXPECT_FLOAT_EQ(scaled.weights[0] + scaled.weights[1], 1.8F);
  EXPECT_FLOAT_EQ(scaled.weights[1] / scaled.weights[0], 0.5F * (1 + std::exp(-3.0F)));
}

// Corrections of published models are about 11 where chosen sigmoids are about 1e-8: taking the score back from the
// sum would leave nothing of it.
TEST(Router, ACorrectionChoosesAndDoesNotWeigh) {
  ExpertRule rule = rule_of(4, 2, true);
  const std::vector<float> bias = {11.0F, 12.0F, 11.5F, -3.0F};
  rule.bias = bias.data();
  rule.normalised = true;
  const Chosen chosen = choose(rule, {-18.0F, -18.5F, -19.0F, 5.0F});
  EXPECT_EQ(chosen.experts, (std::vector<int32_t>{1, 2}));
  EXPECT_NEAR(chosen.weights[0] / chosen.weights[1], std::exp(0.5), 1e-5);
  const std::vector<float> negative = {-2.0F, -3.0F, -1.5F, -4.0F};
  rule.bias = negative.data();
  EXPECT_EQ(choose(rule, {0, 0, 0, 0}).experts, (std::vector<int32_t>{2, 0}));
}

TEST(Router, GroupsAreKeptByTheirBestOrTheirBestTwo) {
  ExpertRule rule = rule_of(8, 2, true);
  rule.groups = 4;
  rule.kept_groups = 1;
  const std::vector<float> logits = {3, -9, 2, 2, -9, -9, 0, 0};
  EXPECT_EQ(choose(rule, logits).experts, (std::vector<int32_t>{0, 1}));
  rule.two_a_group = true;
  EXPECT_EQ(choose(rule, logits).experts, (std::vector<int32_t>{2, 3}));
  rule.kept_groups = 2;
  EXPECT_EQ(choose(rule, logits).experts, (std::vector<int32_t>{2, 3})) << "groups 1 and 3";
  rule.two_a_group = false;
  EXPECT_EQ(choose(rule, logits).experts, (std::vector<int32_t>{0, 2})) << "groups 0 and 1";
  rule.kept_groups = 4;
  EXPECT_EQ(choose(rule, logits).experts, (std::vector<int32_t>{0, 2})) << "all groups";
}

TEST(Router, RandomChoicesAreTheSortedOnes) {
  Rng rng(5);
  for (int round = 0; round < 300; ++round) {
    const int experts = rng.between(1, 40);
    ExpertRule rule = rule_of(experts, rng.between(1, experts), round % 2 == 0);
    std::vector<float> logits;
    for (int e = 0; e < experts; ++e) { logits.push_back(static_cast<float>(rng.between(-6, 6))); }  // many are equal
    std::vector<int32_t> order(static_cast<size_t>(experts));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    order.resize(static_cast<size_t>(rule.chosen));
    EXPECT_EQ(choose(rule, logits).experts, order) << round;
  }
}

}  // namespace
}  // namespace vortex::cpu
