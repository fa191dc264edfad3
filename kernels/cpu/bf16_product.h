// What a bfloat16 unit multiplies. Internal.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace vortex::cpu {

// c[rows][cols] = a[rows][depth] B, or c += a B. B lies in panels of 16 columns, their depth in pairs: [16][2] elements
// a pair.
struct Bf16Product {
  const Bf16* a = nullptr;  // memory holds a multiple of 16 rows
  std::int64_t lda = 0;
  int rows = 0;
  const Bf16* panels = nullptr;
  std::int64_t panel_stride = 0;  // elements between panels
  std::int64_t pair_stride = 32;  // elements between the pairs of a panel
  int depth = 0;                  // a multiple of kDepthStep
  float* c = nullptr;
  std::int64_t ldc = 0;
  int cols = 0;
  bool accumulate = false;
  std::uintptr_t page_step = 0;  // of ask_for_next_page() in panels.h
};

}  // namespace vortex::cpu
