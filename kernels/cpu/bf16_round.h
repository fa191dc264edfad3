// Rows of bfloat16 as the bfloat16 units take them, for the instruction set of the including file.
#pragma once

#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace vortex::cpu {
namespace {

// store_bf16(), in one instruction where there is one. That one makes zeros of denormal numbers, which is what bfloat16
// units take them for anyhow.
inline void store_rounded(Bf16* p, Lanes a) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.v)));
#else
  store_bf16(p, a);
#endif
}

// out[i] = values[i] * scale, rounded, for i < size; zeros from there up to `padded`.
inline void round_row(const float* values, int size, float scale, int padded, Bf16* out) {
  int i = 0;
  for (; i + kLanes <= size; i += kLanes) { store_rounded(out + i, load(values + i) * splat(scale)); }
  if (i < size) {
    store_bf16_n(out + i, load_n(values + i, size - i) * splat(scale), size - i);
    i = size;
  }
  for (; i < padded; ++i) { out[i] = 0; }
}

}  // namespace
}  // namespace vortex::cpu
