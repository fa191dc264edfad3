#pragma once

#include <vector>

#include "core/vflow/graph/bounds.h"
#include "core/vflow/program.h"

namespace vortex::vflow {

// Values above this are never made.
inline constexpr double kLargestMagnitude = 1e32;

// Bounds of node `index`, from those of the nodes before it and of the fields that are not built in.
Bounds value_range(const Program& program, Side side, int index, const std::vector<Bounds>& before,
                   const std::vector<Bounds>& fields);

// Whether every value of the program stays below kLargestMagnitude for inputs in kInputRange; state that is carried
// over steps is taken to stay below 1e4.
bool stays_finite(const Program& program);

// `value` cut to two significant decimal digits: constants that people can read.
double nice(double value);

}  // namespace vortex::vflow
