#pragma once

#include <cstdint>
#include <vector>

#include "study/archive.h"

namespace vortex::study {

// Resampled worlds of a set of points: what accuracy and speed might have been measured. Accuracy is resampled by
// problem, the same problems for all points, so that comparisons within a world are paired; the logarithm of
// speed is normal with the speed's error. Deterministic in the seed.
class Replicates {
 public:
  static constexpr int kCount = 500;

  Replicates(const std::vector<Point>& points, uint64_t seed);

  struct World {
    std::vector<double> accuracy;  // by point
    std::vector<double> speed;
  };
  World draw(int number) const;  // from 0

 private:
  const std::vector<Point>& points_;
  uint64_t seed_;
  size_t problems_ = 0;
  std::vector<std::vector<double>> means_;  // [point][problem]: mean correctness; -1: not tried
};

}  // namespace vortex::study
