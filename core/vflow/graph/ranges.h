#pragma once

#include <vector>

#include "core/vflow/program.h"

namespace vortex::vflow {

// Bounds on the elements of a value: plain interval arithmetic, for keeping made-up programs finite in float32.
struct Bounds {
  double low = 0;
  double high = 0;
  double magnitude() const;
};

// What q, k, v and latent are assumed to stay in.
inline constexpr Bounds kInputRange = {-16, 16};
// Values above this are never made.
inline constexpr double kLargestMagnitude = 1e32;

// Bounds of node `index`, from those of the nodes before it and of the fields that are not built in.
Bounds value_range(const Program& program, Side side, int index, const std::vector<Bounds>& before,
                   const std::vector<Bounds>& fields);

// Whether every value of the program stays below kLargestMagnitude for inputs in kInputRange; state that is carried
// over steps is taken to stay below 1e4.
bool stays_finite(const Program& program);

// Operations that multiply, so that operands like Where's -1e30 would overflow.
bool needs_tame_operands(Op op);

// `value` cut to two significant decimal digits: constants that people can read.
double nice(double value);

}  // namespace vortex::vflow
