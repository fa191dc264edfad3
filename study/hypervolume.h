#pragma once

#include <cstdint>
#include <vector>

#include "study/archive.h"

namespace vortex::study {

// The area of (accuracy, speed over dense) that the points dominate, above the origin (Zitzler and Thiele 1998): dense
// attention alone has its accuracy; more is better.
double hypervolume(const std::vector<double>& accuracy, const std::vector<double>& speed);

// The hypervolume of points, with a 95 % interval over resampled worlds. Give the members of a front: the best of many
// noisy points would be too good.
evals::Interval hypervolume_interval(const std::vector<Point>& points, uint64_t seed);

// The points that one arm of a search found, and how many evaluations it had; those that failed add nothing.
struct Arm {
  std::vector<Point> points;
  int evaluations = 0;
};

// Two arms of a search at equal cost: what `matched` evaluations of each add to the hypervolume of `base`, an
// evaluation. Hypervolume grows ever more slowly with evaluations, so that arms of different size must not be compared
// by their totals; of the larger one subsets are drawn. How far chance alone drives two arms apart is seen by giving
// the evaluations to the arms anew, by lot (a permutation test: Fisher 1935). What it says holds for this one search:
// that searching pays is shown only by several.
struct ArmComparison {
  int matched = 0;    // evaluations of either arm: the size of the smaller one
  double search = 0;  // gain an evaluation
  double control = 0;
  double difference = 0;  // search minus control
  double p = 1;  // share of lots that drive the arms at least as far apart, either way (Phipson and Smyth 2010)
};
ArmComparison compare_arms(const std::vector<Point>& base, const Arm& search, const Arm& control, uint64_t seed);

}  // namespace vortex::study
