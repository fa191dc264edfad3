// The element-wise kernels and the table of all wide kernels, for the instruction set of the including file.
#pragma once

#include "kernels/cpu/gemm_impl.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/prefill_attention_impl.h"
#include "kernels/cpu/wide.h"

namespace vortex::cpu {
namespace {

// out[i] = function(i-th lanes of x and y) over `size` elements; the last ones are padded with zeros.
template <typename Function>
inline void map_pairs(const float* x, const float* y, std::int64_t size, float* out, Function function) {
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) { store(out + i, function(load(x + i), load(y + i))); }
  const int rest = static_cast<int>(size - i);
  if (rest > 0) { store_n(out + i, function(load_n(x + i, rest), load_n(y + i, rest)), rest); }
}

void swiglu_lanes(const float* gate, const float* up, std::int64_t size, float* out) {
  map_pairs(gate, up, size, out, [](Lanes g, Lanes u) { return g / (splat(1.0F) + exponential(splat(0.0F) - g)) * u; });
}

void exp_lanes(const float* x, std::int64_t size, float shift, float scale, float* out) {
  map_pairs(x, x, size, out, [=](Lanes a, Lanes) { return exponential((a - splat(shift)) * splat(scale)); });
}

constexpr WideKernels kWide = {gemm_panels, pack_keys, attend, swiglu_lanes, exp_lanes};

}  // namespace
}  // namespace vortex::cpu
