#include "study/archive.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"

namespace vortex::study {
namespace {

constexpr uint64_t kSeed = 7;

// A policy whose true accuracy and speed are planted, measured on `problems` shared problems with noise of its own.
Point planted(int64_t candidate, double accuracy, double speed, double speed_noise, int problems = 64) {
  Point point;
  point.candidate = candidate;
  point.key = "key" + std::to_string(candidate);
  std::vector<job::Outcome> outcomes;
  for (int i = 0; i < problems; ++i) {
    Rng rng(stream_key(99, static_cast<uint64_t>(i), static_cast<uint64_t>(candidate)));
    job::Outcome outcome;
    outcome.problem = "p" + std::to_string(i);
    outcome.correct = rng.uniform() < accuracy;
    outcomes.push_back(outcome);
  }
  point.outcomes = outcomes;
  point.accuracy = evals::accuracy_interval(point.outcomes, kSeed);
  Rng rng(stream_key(98, static_cast<uint64_t>(candidate)));
  const double measured = speed + speed_noise * (2 * rng.uniform() - 1);
  point.speed = {{measured, measured - 2 * speed_noise, measured + 2 * speed_noise}, speed_noise / speed, 30};
  return point;
}

Point exact(int64_t candidate, int correct, int problems, double speed) {
  Point point;
  point.candidate = candidate;
  point.key = "key" + std::to_string(candidate);
  std::vector<job::Outcome> outcomes;
  for (int i = 0; i < problems; ++i) {
    job::Outcome outcome;
    outcome.problem = "p" + std::to_string(i);
    outcome.correct = i < correct;
    outcomes.push_back(outcome);
  }
  point.outcomes = outcomes;
  point.accuracy = evals::accuracy_interval(point.outcomes, kSeed);
  point.speed = exact_speed(speed);
  return point;
}

TEST(Archive, TenCopiesOfOnePolicyGiveAFrontOfOne) {
  Archive archive(kSeed);
  for (int64_t i = 0; i < 10; ++i) {
    Point copy = planted(i, 0.7, 2.0, 0.05);
    copy.key = "the same";
    archive.add(std::move(copy));
  }
  EXPECT_EQ(archive.points().size(), 1u);
  EXPECT_EQ(archive.front().size(), 1u);
}

// A naive front of ten equal policies measured with noise keeps about three of them.
TEST(Archive, TenPoliciesThatTheDataCannotTellApartGiveAFrontOfOne) {
  constexpr int64_t kWorlds = 30;
  size_t members = 0;
  for (int64_t world = 0; world < kWorlds; ++world) {
    Archive archive(kSeed);
    for (int64_t i = 0; i < 10; ++i) { archive.add(planted(100 * world + i, 0.7, 2.0, 0.05)); }
    EXPECT_EQ(archive.points().size(), 10u);
    members += archive.front().size();
  }
  EXPECT_LE(members, kWorlds + 2);
}

TEST(Archive, AFasterPolicyOfLowerAccuracyJoinsTheBaseline) {
  Archive archive(kSeed);
  EXPECT_TRUE(archive.add(exact(1, 60, 64, 1.0)));
  EXPECT_TRUE(archive.add(exact(2, 40, 64, 2.0)));
  EXPECT_EQ(archive.front().size(), 2u);
  EXPECT_TRUE(archive.on_front(1));
  EXPECT_TRUE(archive.on_front(2));
}

TEST(Archive, AFasterPolicyOfTheSameAccuracyReplacesTheIncumbent) {
  Archive archive(kSeed);
  archive.add(exact(1, 60, 64, 1.0));
  EXPECT_TRUE(archive.add(exact(2, 60, 64, 1.5)));
  EXPECT_FALSE(archive.on_front(1));
  EXPECT_TRUE(archive.on_front(2));
}

TEST(Archive, TheReferenceNeverLeaves) {
  Archive archive(kSeed);
  Point dense = exact(1, 60, 64, 1.0);
  dense.reference = true;
  archive.add(dense);
  EXPECT_TRUE(archive.add(exact(2, 60, 64, 1.5)));
  EXPECT_TRUE(archive.add(exact(3, 64, 64, 2.5)));
  EXPECT_TRUE(archive.on_front(1));
  EXPECT_FALSE(archive.on_front(2));
  EXPECT_TRUE(archive.on_front(3));
  EXPECT_FALSE(archive.add(exact(4, 30, 64, 1.0)));  // but it keeps others out
}

TEST(Archive, ADominatedPolicyStaysOut) {
  Archive archive(kSeed);
  archive.add(exact(1, 60, 64, 2.0));
  EXPECT_FALSE(archive.add(exact(2, 30, 64, 1.0)));
  EXPECT_FALSE(archive.add(exact(3, 60, 64, 2.0)));  // equal in both: no advantage
  EXPECT_EQ(archive.front().size(), 1u);
  EXPECT_EQ(archive.points().size(), 3u);
}

TEST(Archive, OneMoreProblemSolvedIsNoAdvantage) {
  Archive archive(kSeed);
  archive.add(exact(1, 40, 64, 2.0));
  EXPECT_FALSE(archive.add(exact(2, 41, 64, 2.0)));
  EXPECT_TRUE(archive.add(exact(3, 60, 64, 2.0)));
  EXPECT_FALSE(archive.on_front(1));
}

TEST(Archive, AccuracyIsNotTradedAwayInStepsTooSmallToSee) {
  Archive archive(kSeed);
  for (int64_t step = 0; step < 12; ++step) {
    archive.add(exact(step, 60 - static_cast<int>(step), 64, 1.0 + 0.1 * static_cast<double>(step)));
  }
  EXPECT_TRUE(archive.on_front(0));   // the most accurate one is still there
  EXPECT_TRUE(archive.on_front(11));  // and so is the fastest
}

TEST(Comparison, SpeedNeedsADifferenceBeyondItsError) {
  Point slow = exact(1, 1, 2, 1.0);
  Point fast = exact(2, 1, 2, 1.1);
  EXPECT_EQ(compare_speed(fast, slow), Advantage::kBetter);
  EXPECT_EQ(compare_speed(slow, fast), Advantage::kWorse);
  fast.speed.error = 0.05;
  fast.speed.dof = 20;
  EXPECT_EQ(compare_speed(fast, slow), Advantage::kInconclusive);
}

TEST(Comparison, AccuracyIsPaired) {
  // The same mean difference: conclusive when one solves what the other solves and more.
  const Point all = exact(1, 32, 32, 1.0);
  const Point most = exact(2, 20, 32, 1.0);
  EXPECT_EQ(compare_accuracy(all, most, kSeed), Advantage::kBetter);
  EXPECT_EQ(compare_accuracy(most, all, kSeed), Advantage::kWorse);
  EXPECT_EQ(compare_accuracy(all, exact(3, 31, 32, 1.0), kSeed), Advantage::kInconclusive);
}

TEST(NondominatedProbability, SeparatesClearFromUnclear) {
  const std::vector<Point> points = {exact(1, 60, 64, 1.0), exact(2, 30, 64, 3.0), exact(3, 20, 64, 2.0)};
  const std::vector<double> probability = nondominated_probability(points, kSeed);
  EXPECT_GT(probability[0], 0.99);
  EXPECT_GT(probability[1], 0.99);
  EXPECT_LT(probability[2], 0.01);
  EXPECT_EQ(probability, nondominated_probability(points, kSeed));
}

TEST(NondominatedProbability, IsInBetweenForNoisyNeighbours) {
  std::vector<Point> points = {exact(1, 40, 64, 2.0), exact(2, 40, 64, 2.02)};
  for (Point& point : points) { point.speed.error = 0.05; }
  const std::vector<double> probability = nondominated_probability(points, kSeed);
  EXPECT_GT(probability[0], 0.2);
  EXPECT_LT(probability[0], 0.8);
  EXPECT_NEAR(probability[0] + probability[1], 1.0, 0.01);  // equal accuracy: one of the two dominates in every world
}

TEST(NondominatedProbability, OfNothingIsNothing) { EXPECT_TRUE(nondominated_probability({}, kSeed).empty()); }

}  // namespace
}  // namespace vortex::study
