#pragma once

#include <span>

#include "core/vflow/program.h"

namespace vortex::vflow {

// Bounds on the elements of a value: plain interval arithmetic, for keeping made-up programs finite in float32.
struct Bounds {
  double low = 0;
  double high = 0;
  double magnitude() const;  // NaN if either bound is
};

// What q, k, v and latent are assumed to stay in.
inline constexpr Bounds kInputRange = {-16, 16};

// One node, with what is known of its operands.
struct BoundsCall {
  const Node& node;
  const Program& program;
  std::span<const Bounds> in;
  std::span<const Shape> shapes;
};

}  // namespace vortex::vflow
