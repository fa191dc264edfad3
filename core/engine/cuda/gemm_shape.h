#pragma once

#include <compare>

namespace vortex::engine {

// y[row][n] = sum_k x[row][k] w[n][k], summed in fp32; x and w bf16, y bf16 or fp32. With `swiglu` the first half of
// the n gates the second, as cuda::SkinnyGemm has it, and y has n / 2 columns.
struct GemmShape {
  int n = 0;
  int k = 0;
  int rows = 0;    // of x and y
  int stride = 0;  // elements from row to row of y, at least its columns
  bool fp32 = false;
  bool swiglu = false;
  int columns() const { return swiglu ? n / 2 : n; }
  auto operator<=>(const GemmShape&) const = default;
};

}  // namespace vortex::engine
