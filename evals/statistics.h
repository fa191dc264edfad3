#pragma once

#include <cstdint>
#include <vector>

#include "evals/stage.h"

namespace vortex::evals {

struct Interval {
  double value = 0;
  double lo = 0;
  double hi = 0;
};

// Mean accuracy with a cluster-bootstrap 95 % interval: problems are resampled, all trials of a problem together
// (Cameron, Gelbach, Miller 2008), widened to the Wilson interval when every outcome is alike. Deterministic in `seed`.
Interval accuracy_interval(const std::vector<Outcome>& outcomes, uint64_t seed);

// Mean paired difference (a - b) over the (problem, trial) pairs that both have, with a cluster-bootstrap interval.
Interval paired_difference(const std::vector<Outcome>& a, const std::vector<Outcome>& b, uint64_t seed);

// Median with a percentile-bootstrap 95 % interval of repeated measurements.
Interval median_interval(const std::vector<double>& samples, uint64_t seed);

}  // namespace vortex::evals
