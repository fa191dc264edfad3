#include "study/hypervolume.h"

#include <gtest/gtest.h>

#include "tests/study/planted.h"

namespace vortex::study {
namespace {

TEST(Hypervolume, IsTheAreaUnderTheStaircase) {
  EXPECT_DOUBLE_EQ(hypervolume({}, {}), 0);
  EXPECT_DOUBLE_EQ(hypervolume({0.9}, {1}), 0.9);  // dense attention alone: its accuracy
  EXPECT_DOUBLE_EQ(hypervolume({0.9, 0.5}, {1, 2}), 0.9 + 0.5);
  EXPECT_DOUBLE_EQ(hypervolume({0.9, 0.5, 0.4}, {1, 2, 1.5}), 0.9 + 0.5);  // a dominated point adds nothing
  EXPECT_DOUBLE_EQ(hypervolume({0.5, 0.9, 0.9}, {2, 1, 2}), 1.8);
  EXPECT_DOUBLE_EQ(hypervolume({0.5}, {-1}), 0);  // a draw of noise below zero
}

TEST(Hypervolume, HasAnIntervalThatNarrowsWithMoreProblems) {
  const PlantedTruth truth({{2.0, 1.0}, {0.5, 2.0}}, 5);
  const evals::Interval few = hypervolume_interval({truth.measure(0, 30), truth.measure(1, 30)}, 1);
  const evals::Interval many = hypervolume_interval({truth.measure(0, 480), truth.measure(1, 480)}, 1);
  EXPECT_LT(few.lo, few.value);
  EXPECT_GT(few.hi, few.value);
  EXPECT_LT(many.hi - many.lo, few.hi - few.lo);
}

TEST(Arms, AreComparedAtEqualCost) {
  const PlantedTruth truth({{2.5, 1.0}, {2.0, 2.0}, {2.0, 2.1}, {-1.0, 1.1}}, 5);
  const Arm good{{truth.measure(1, 120), truth.measure(2, 120)}, 8};
  const Arm poor{{truth.measure(3, 120)}, 2};
  const ArmComparison comparison = compare_arms({truth.measure(0, 120)}, good, poor, 1);
  EXPECT_EQ(comparison.matched, 2);
  EXPECT_GT(comparison.difference, 0);
  EXPECT_GE(comparison.control, 0);  // points never take hypervolume away
  // Arms of the same points at the same cost differ by chance alone.
  const ArmComparison same = compare_arms({truth.measure(0, 120)}, good, good, 1);
  EXPECT_GT(same.p, 0.05);
  EXPECT_EQ(compare_arms({}, good, {}, 1).matched, 0);
}

}  // namespace
}  // namespace vortex::study
