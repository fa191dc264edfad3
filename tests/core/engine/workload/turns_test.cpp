#include "core/engine/workload/turns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/rng.h"
#include "tests/core/engine/workload/fake.h"

namespace vortex::engine {
namespace {

using vortex::testing::bytes_cost;
using vortex::testing::FakeEngine;

double normal(Rng& rng) {
  return std::sqrt(-2 * std::log(1 - rng.uniform())) * std::cos(2 * std::numbers::pi * rng.uniform());
}

Load small_load() {
  Load load;
  for (const int answer : draw_lengths({500, 0.6, 2000}, 60, 1)) { load.requests.push_back({100, answer}); }
  return load;
}

TurnOptions turns(double precision) {
  TurnOptions options;
  options.sampling = quick_sampling();
  options.precision = precision;
  options.seconds = 60;
  return options;
}

TEST(MeanEstimate, IsStudentsIntervalOfTheLogarithms) {
  const Estimate estimate = mean_estimate({1, 2, 4});
  EXPECT_NEAR(estimate.value, 2, 1e-12);
  // Deviation of the logarithms is log 2; t with two degrees of freedom is 4.3027.
  const double half = 4.3027 * std::log(2) / std::sqrt(3);
  EXPECT_NEAR(std::log(estimate.hi / 2), half, 1e-4);
  EXPECT_NEAR(std::log(2 / estimate.lo), half, 1e-4);
  const Estimate equal = mean_estimate({3, 3, 3, 3});
  EXPECT_NEAR(equal.precision(), 0, 1e-12);
  EXPECT_TRUE(std::isinf(mean_estimate({3}).hi));
  // Far out the expansion must meet the normal's 1.96; t with 20 degrees of freedom is 2.0860.
  std::vector<double> samples;
  for (int i = 0; i < 21; ++i) { samples.push_back(std::exp(i % 2 == 0 ? 1.0 : -1.0)); }
  double mean = 0;
  for (const double sample : samples) { mean += std::log(sample) / 21; }
  double squares = 0;
  for (const double sample : samples) { squares += std::pow(std::log(sample) - mean, 2); }
  const Estimate many = mean_estimate(samples);
  EXPECT_NEAR(std::log(many.hi / many.value) / std::sqrt(squares / 20 / 21), 2.0860, 2e-3);
}

TEST(Turns, FindTheRatioAndStopWhenItIsNarrow) {
  Rng rng(3);
  const auto noisy = [&](double scale) {
    return [&rng, scale](const std::vector<int>& lengths) {
      return bytes_cost(lengths) * scale * (1 + 0.02 * normal(rng));
    };
  };
  FakeEngine engine({.max_batch = 16}, noisy(1), noisy(0.25));
  const Result<Comparison> found = compare_in_turns(engine, vflow::Policy(), small_load(), turns(0.02));
  ASSERT_TRUE(found.ok()) << found.error().message;
  const Estimate ratio = mean_estimate(found->ratio);
  EXPECT_NEAR(ratio.value, 4, 0.12);
  EXPECT_LE(ratio.precision(), 0.02);
  EXPECT_TRUE(found->narrow);
  EXPECT_GE(found->ratio.size(), 4U);
  EXPECT_LT(found->ratio.size(), 30U);
  EXPECT_TRUE(engine.has_policy()) << "the policy stays";
  EXPECT_GT(found->policy.stats.decode_steps, 0);
}

TEST(Turns, EndWhenTheSecondsAreUp) {
  Rng rng(3);
  const auto wild = [&rng](const std::vector<int>&) { return std::exp(normal(rng)); };
  FakeEngine engine({.max_batch = 16}, wild, wild);
  TurnOptions options = turns(0.001);
  options.seconds = 0;
  const Result<Comparison> found = compare_in_turns(engine, vflow::Policy(), small_load(), options);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->ratio.size(), 3U);
  EXPECT_FALSE(found->narrow);
}

// The first side that is timed is slow in its first ten steps.
TEST(Turns, AWarmUpIsForgotten) {
  const auto compare = [](int warm_up_turns) {
    int steps = 0;
    const auto slow_at_first = [&steps](const std::vector<int>& lengths) {
      return bytes_cost(lengths) * (++steps <= 10 ? 3 : 1);
    };
    FakeEngine engine({.max_batch = 16}, slow_at_first, bytes_cost);
    TurnOptions options = turns(0.001);
    options.warm_up_turns = warm_up_turns;
    options.most_turns = 4;
    return *compare_in_turns(engine, vflow::Policy(), small_load(), options);
  };
  const Comparison cold = compare(0);
  EXPECT_GT(cold.ratio.front(), 1.3);
  const Comparison warm = compare(1);
  EXPECT_EQ(warm.ratio.size(), 4U);
  for (const double ratio : warm.ratio) { EXPECT_NEAR(ratio, 1, 1e-6); }
  EXPECT_EQ(warm.dense.seconds.size(), 4U);
  const auto steps = static_cast<double>(cold.dense.stats.decode_steps);
  EXPECT_NEAR(static_cast<double>(warm.dense.stats.decode_steps), steps, 0.1 * steps) << "of four turns, not of five";
}

// Four turns of four windows: a step to warm up each, and two samples of one step.
TEST(Turns, ACpuWarmsUpOnceWhereAStepFillsASample) {
  const auto steps = [](bool on_device, double seconds) {
    const auto cost = [seconds](const std::vector<int>&) { return seconds; };
    FakeEngine engine({.max_batch = 16, .on_device = on_device}, cost, cost);
    TurnOptions options = turns(0.001);
    options.most_turns = 4;
    return compare_in_turns(engine, std::nullopt, small_load(), options)->dense.stats.decode_steps;
  };
  EXPECT_EQ(steps(true, 0.05), 4 * 4 * 3);
  EXPECT_EQ(steps(false, 0.05), 4 * 3 + 3 * 4 * 2);
  EXPECT_EQ(steps(false, 1e-3), steps(true, 1e-3)) << "how many steps a sample takes is known by its warm-up";
}

TEST(Turns, DenseAttentionAloneIsItsOwnMeasure) {
  FakeEngine engine({.max_batch = 16}, bytes_cost, bytes_cost);
  const Result<Comparison> found = compare_in_turns(engine, std::nullopt, small_load(), turns(0.01));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(mean_estimate(found->ratio).value, 1);
  EXPECT_EQ(found->policy.seconds, found->dense.seconds);
  EXPECT_EQ(found->dense.seconds.size(), 4U);
  EXPECT_FALSE(engine.has_policy());
}

// What a device has free changes a little with every layout of the pool.
TEST(Turns, APoolThatShrinksGetsAnotherPlan) {
  FakeEngine engine({.pages = 300, .max_batch = 16}, bytes_cost, bytes_cost);
  engine.lost_pages = 9;
  const Result<Comparison> found = compare_in_turns(engine, std::nullopt, small_load(), turns(0.2));
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->dense.seconds.size(), 4U);
  EXPECT_EQ(found->dense.pages, 300 - 4 * 9);
  EXPECT_LE(found->dense.plan.most_pages, found->dense.pages);
}

TEST(Turns, EndToEndCountsPromptsAndFirstTokens) {
  FakeEngine engine({.max_batch = 16}, bytes_cost, bytes_cost);
  const Load load = small_load();
  const Result<Comparison> found = compare_in_turns(engine, std::nullopt, load, turns(0.01));
  ASSERT_TRUE(found.ok());
  EXPECT_NEAR(found->prompt_seconds, 100e-6, 1e-9);
  const double tokens = static_cast<double>(found->dense.plan.tokens);
  const double seconds = found->dense.seconds[0];
  EXPECT_NEAR(found->dense.end_to_end(0.001)[0], tokens / (seconds + 60 * 0.001), 1e-6 * tokens);
  EXPECT_NEAR(found->dense.tokens_per_second()[0], (tokens - 60) / seconds, 1e-6 * tokens);
}

TEST(Turns, AnEmptyLoadIsRefused) {
  FakeEngine engine({}, bytes_cost, bytes_cost);
  EXPECT_FALSE(compare_in_turns(engine, std::nullopt, {}, turns(0.01)).ok());
}

// Stopping when the interval is narrow must not make it lie: 400 comparisons with noise near the precision asked for.
TEST(Turns, TheIntervalHoldsTheTruthInSpiteOfStopping) {
  int held = 0;
  constexpr int kComparisons = 400;
  for (int i = 0; i < kComparisons; ++i) {
    Rng rng(stream_key(11, static_cast<uint64_t>(i)));
    // One deviate a turn: all steps of a turn are slowed down together, as by a machine that others use.
    std::vector<double> samples;
    for (;;) {
      samples.push_back(std::exp(0.02 * normal(rng)));
      if (samples.size() >= 4 && (mean_estimate(samples).precision() <= 0.01 || samples.size() == 20)) { break; }
    }
    const Estimate estimate = mean_estimate(samples);
    held += estimate.lo <= 1 && 1 <= estimate.hi ? 1 : 0;
  }
  EXPECT_GE(held, 0.88 * kComparisons);
}

}  // namespace
}  // namespace vortex::engine
