#include "core/engine/workload/timing.h"

#include <gtest/gtest.h>

#include "tests/core/engine/workload/fake.h"

namespace vortex::engine {
namespace {

using vortex::testing::bytes_cost;
using vortex::testing::FakePool;
using vortex::testing::FakeStepper;

Plan mixed_plan(const Stepper& stepper) {
  std::vector<RequestLength> requests;
  for (const int answer : draw_lengths({3000, 0.6, 9000}, 80, 5)) { requests.push_back({150, answer}); }
  return plan_requests(requests, limits_of(stepper));
}

std::vector<double> dense_bytes(const Plan& plan) {
  return bytes_of_rounds(plan, vortex::testing::small_config(), nullptr, vflow::Dtype::kBf16);
}

// The plan's time step by step.
double exact_seconds(const Plan& plan, const vortex::testing::StepCost& cost) {
  double seconds = 0;
  for (const Round& round : plan.rounds) {
    std::vector<int> lengths = round.lengths;
    for (int& length : lengths) { length += (round.steps + 1) / 2; }
    seconds += cost(lengths) * round.steps;
  }
  return seconds;
}

TEST(Timing, APlanWhoseStepsCostTheirBytesIsTimedExactly) {
  FakeStepper stepper({.max_batch = 16}, bytes_cost);
  const Plan plan = mixed_plan(stepper);
  PlanSampling sampling;
  sampling.windows = 3;
  const Result<PlanTime> time = time_plan(stepper, plan, dense_bytes(plan), {}, sampling);
  ASSERT_TRUE(time.ok()) << time.error().message;
  // Windows pass a round's lengths half-way; bytes count the middle of the round: a few tokens of thousands.
  EXPECT_NEAR(time->decode.median / exact_seconds(plan, bytes_cost), 1, 2e-3);
  EXPECT_EQ(time->windows.size(), 3U);
  EXPECT_EQ(time->windows.front().first, 0);
  EXPECT_EQ(time->windows.back().end, plan.steps);
  EXPECT_EQ(time->real_tokens, 0);
  EXPECT_GT(time->placed_tokens, 0);
}

// At the end of a plan few requests are left, and a step costs its launches: wherever windows fall, they find the same.
TEST(Timing, FewWindowsFindWhatLaunchesCost) {
  const double full = bytes_cost(std::vector<int>(16, 3000));
  const auto cost = [&](const std::vector<int>& lengths) { return full / 2 + bytes_cost(lengths); };
  FakeStepper stepper({.max_batch = 16}, cost);
  const Plan plan = mixed_plan(stepper);
  for (const double phase : {0.5, 0.25, 0.75, 0.125, 0.875, 0.9375}) {
    PlanSampling sampling;
    sampling.windows = 4;
    sampling.phase = phase;
    const Result<PlanTime> time = time_plan(stepper, plan, dense_bytes(plan), {}, sampling);
    ASSERT_TRUE(time.ok()) << time.error().message;
    EXPECT_NEAR(time->decode.median / exact_seconds(plan, cost), 1, 0.01) << phase;
  }
}

TEST(StepCost, IsALineThatStartsNoLowerThanZero) {
  const auto window = [](double bytes, double seconds) { return Window{0, 1, bytes, {seconds, seconds, seconds}}; };
  const StepCost line = fit_cost({window(100, 3), window(200, 4), window(400, 6)});
  EXPECT_NEAR(line.fixed, 2, 1e-9);
  EXPECT_NEAR(line.per_byte, 0.01, 1e-9);
  const StepCost bytes_alone = fit_cost({window(100, 1), window(200, 3)});
  EXPECT_EQ(bytes_alone.fixed, 0) << "the line would start below 0";
  EXPECT_GT(bytes_alone.per_byte, 0);
  EXPECT_EQ(fit_cost({window(100, 3), window(101, 4)}).fixed, 0) << "too near each other for a line";
  EXPECT_EQ(fit_cost({window(100, 3), window(200, 3)}).per_byte, 0) << "nothing but launches";
}

TEST(Timing, ManyWindowsTimeAnyCost) {
  const auto cost = [](const std::vector<int>& lengths) { return 5e-4 + 1e-5 * static_cast<double>(lengths.size()); };
  FakeStepper stepper({.max_batch = 16}, cost);
  const Plan plan = mixed_plan(stepper);
  PlanSampling sampling;
  sampling.windows = 64;
  const Result<PlanTime> time = time_plan(stepper, plan, dense_bytes(plan), {}, sampling);
  ASSERT_TRUE(time.ok()) << time.error().message;
  EXPECT_NEAR(time->decode.median / exact_seconds(plan, cost), 1, 0.02);
}

TEST(Timing, AFullPoolAndAFullContextLeaveRoomForTheSteps) {
  FakeStepper stepper({.pages = 12, .max_context = 64}, bytes_cost);
  const Batch full{{64, 64, 64}, {}};
  const Result<StepTime> time = time_steps(stepper, full, {});
  EXPECT_TRUE(time.ok()) << time.error().message;
  const Result<StepTime> too_much = time_steps(stepper, {{64, 64, 64, 64}, {}}, {});
  EXPECT_FALSE(too_much.ok());
}

TEST(Timing, StepsPassTheLengthsHalfWay) {
  std::vector<int> seen;
  FakeStepper stepper({}, [&](const std::vector<int>& lengths) {
    seen.push_back(lengths[0]);
    return 1e-3;
  });
  ASSERT_TRUE(time_steps(stepper, {{1000}, {}}, {.warm_up = 2, .samples = 3, .steps = 4}).ok());
  ASSERT_EQ(seen.size(), 14U);
  EXPECT_EQ(seen.front(), 1000 - 7 + 1);
  EXPECT_EQ(seen.back(), 1000 + 7);
}

TEST(Timing, ShortSamplesTakeMoreSteps) {
  int steps = 0;
  FakeStepper fast({}, [&](const std::vector<int>&) { return ++steps, 1e-3; });
  const StepSampling sampling{.warm_up = 1, .samples = 2, .steps = 1, .sample_seconds = 4e-3, .most_steps = 8};
  ASSERT_TRUE(time_steps(fast, {{1000}, {}}, sampling).ok());
  EXPECT_EQ(steps, 1 + 2 * 4);
  steps = 0;
  FakeStepper slow({}, [&](const std::vector<int>&) { return ++steps, 1e-2; });
  ASSERT_TRUE(time_steps(slow, {{1000}, {}}, sampling).ok());
  EXPECT_EQ(steps, 1 + 2);
}

TEST(Timing, TheMedianStepCounts) {
  int call = 0;
  FakeStepper stepper({}, [&](const std::vector<int>&) { return call++ == 3 ? 1.0 : 1e-3; });
  const Result<StepTime> time = time_steps(stepper, {{100}, {}}, {.warm_up = 1, .samples = 5, .steps = 1});
  ASSERT_TRUE(time.ok());
  EXPECT_EQ(time->median, 1e-3);
  EXPECT_EQ(time->slowest, 1.0);
}

// Two requests of equal steps: the first decodes 4, the second 2 of them; a prompt holds up who decodes.
TEST(Timing, TokenTimesIncludeThePromptsThatCameMeanwhile) {
  const Plan plan = plan_requests({{10, 5}, {10, 3}, {10, 3}}, {2, 1, 16, 100});
  ASSERT_EQ(plan.steps, 4);
  const std::vector<double> clock = {0, 1, 2, 3, 4};
  EXPECT_EQ(token_times(plan, clock, 0), (std::vector<double>{1, 1, 1}));
  // The first waits for the prompts of the two others, the second for none: the third joins when it has ended.
  EXPECT_EQ(token_times(plan, clock, 0.5), (std::vector<double>{1.25, 1, 1}));
}

TEST(Timing, TheClockEndsWithThePlansTime) {
  FakeStepper stepper({.max_batch = 8}, bytes_cost);
  const Plan plan = mixed_plan(stepper);
  const std::vector<double> bytes = dense_bytes(plan);
  const Result<PlanTime> time = time_plan(stepper, plan, bytes, {}, {.windows = 5});
  ASSERT_TRUE(time.ok());
  const std::vector<double> clock = clock_of_plan(plan, bytes, *time);
  EXPECT_EQ(clock.size(), plan.rounds.size() + 1);
  EXPECT_NEAR(clock.back(), time->decode.median, 1e-9 * clock.back());
  EXPECT_TRUE(std::is_sorted(clock.begin(), clock.end()));
}

TEST(Timing, APlanWithoutStepsIsRefused) {
  FakeStepper stepper({}, bytes_cost);
  const Plan plan = plan_requests({{10, 1}}, limits_of(stepper));
  EXPECT_EQ(time_plan(stepper, plan, {}, {}, {}).error().blame, Blame::kCandidate);
}

}  // namespace
}  // namespace vortex::engine
