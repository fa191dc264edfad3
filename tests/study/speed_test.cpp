#include "study/speed.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evals/distributions.h"

namespace vortex::study {
namespace {

SpeedRun run(double ratio, double rate = 100) { return {{ratio, ratio * 0.99, ratio * 1.01}, rate}; }

TEST(Speed, IsTheGeometricMeanWithATIntervalOverProcesses) {
  const std::vector<SpeedRun> runs = {run(1.0), run(1.1), run(1.21)};
  const Speed speed = speed_of_runs(runs, speed_spread({runs}));
  const double step = std::log(1.1);
  EXPECT_NEAR(speed.ratio.value, 1.1, 1e-12);
  EXPECT_NEAR(speed.error, step / std::sqrt(3.0), 1e-12);
  EXPECT_NEAR(speed.dof, 2, 1e-12);
  EXPECT_NEAR(std::log(speed.ratio.hi / speed.ratio.value), evals::student_quantile(0.975, 2) * speed.error, 1e-9);
}

TEST(Speed, OfOneProcessTakesItsErrorFromTheOthers) {
  const std::vector<std::vector<SpeedRun>> all = {{run(1.0), run(1.1)}, {run(2.0), run(2.2)}, {run(1.5)}};
  const SpeedSpread spread = speed_spread(all);
  EXPECT_NEAR(spread.dof, 2, 1e-12);
  EXPECT_NEAR(spread.deviation, std::log(1.1) / std::sqrt(2.0), 1e-12);
  const Speed speed = speed_of_runs(all[2], spread);
  EXPECT_NEAR(speed.error, spread.deviation, 1e-12);
  // Where nothing is known it is what other machines had, and the process's own.
  EXPECT_GT(speed_of_runs(all[2], {}).error, 0.03);
}

TEST(Speed, ADifferenceMustExceedItsError) {
  const Speed slow{{1.0, 0.9, 1.1}, 0.05, 10};
  const Speed fast{{1.5, 1.4, 1.6}, 0.05, 10};
  EXPECT_TRUE(surely_faster(fast, slow, 0.0025));
  EXPECT_FALSE(surely_faster(slow, fast, 0.0025));
  EXPECT_FALSE(surely_faster({{1.1, 1.0, 1.2}, 0.05, 10}, slow, 0.0025));
  EXPECT_TRUE(surely_faster(exact_speed(1.01), exact_speed(1), 0.0025));
  EXPECT_FALSE(surely_faster(exact_speed(1), exact_speed(1), 0.0025));
}

TEST(Speed, AProcessInWhichDenseAttentionWasSlowedIsContended) {
  const std::vector<SpeedRun> all = {run(1.3, 100), run(1.3, 101), run(1.3, 99), run(1.3, 100), run(1.9, 70)};
  UsualRate usual;
  for (const SpeedRun& one : all) {
    EXPECT_FALSE(usual.is_contended(all[4])) << "fewer than five processes do not tell what is usual";
    usual.add(one);
  }
  EXPECT_TRUE(usual.is_contended(all[4]));
  EXPECT_FALSE(usual.is_contended(all[0]));
  EXPECT_FALSE(usual.is_contended(run(1.3, 0))) << "its rate is not known";
  EXPECT_EQ(usual.median(), 100);
}

TEST(Speed, TheBarOfContentionIsThreeUsualDistancesBelowTheMedian) {
  // The distances from 103 are 3, 2, 1, 0, 1, 4, 27, in the middle of which stands 2; of the second ones 2 and 3.
  UsualRate odd(0);
  for (const double rate : {100.0, 101.0, 102.0, 103.0, 104.0, 107.0, 130.0}) { odd.add(run(1, rate)); }
  EXPECT_NEAR(odd.bar(), 103 - 3 * 1.4826 * 2, 1e-9);
  UsualRate even(0);
  for (const double rate : {100.0, 101.0, 102.0, 104.0, 107.0, 130.0}) { even.add(run(1, rate)); }
  EXPECT_NEAR(even.bar(), 103 - 3 * 1.4826 * 2.5, 1e-9);
  EXPECT_TRUE(even.agrees_with(91.9)) << "no process lies between";
  EXPECT_FALSE(even.agrees_with(100.5));
}

}  // namespace
}  // namespace vortex::study
