#pragma once

#include <vector>

namespace vortex::study {

// Points that no other of those added is at least equal to in both numbers: a few of very many. Adding one takes the
// logarithm of how many it keeps.
class Staircase {
 public:
  struct Step {
    double speed = 0;
    double accuracy = 0;
  };

  void add(double speed, double accuracy);
  bool holds(double speed, double accuracy) const;
  const std::vector<Step>& steps() const { return steps_; }  // of falling speed and rising accuracy

 private:
  std::vector<Step> steps_;
};

}  // namespace vortex::study
