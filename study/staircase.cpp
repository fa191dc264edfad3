#include "study/staircase.h"

#include <algorithm>
#include <iterator>

namespace vortex::study {

void Staircase::add(double speed, double accuracy) {
  const auto slower =
      std::partition_point(steps_.begin(), steps_.end(), [&](const Step& step) { return step.speed >= speed; });
  // Of the steps that are as fast, the last is the most accurate.
  if (slower != steps_.begin() && std::prev(slower)->accuracy >= accuracy) { return; }
  const auto from = std::partition_point(steps_.begin(), slower, [&](const Step& step) { return step.speed > speed; });
  const auto to = std::partition_point(from, steps_.end(), [&](const Step& step) { return step.accuracy <= accuracy; });
  steps_.insert(steps_.erase(from, to), {speed, accuracy});
}

bool Staircase::holds(double speed, double accuracy) const {
  const auto found =
      std::partition_point(steps_.begin(), steps_.end(), [&](const Step& step) { return step.speed > speed; });
  return found != steps_.end() && found->speed == speed && found->accuracy == accuracy;
}

}  // namespace vortex::study
