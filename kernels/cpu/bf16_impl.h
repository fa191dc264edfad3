// The kernels of a bfloat16 unit, for the instruction set that the including file is compiled for. `Unit` has begin()
// and end(), called around its use by one thread, and multiply(Bf16Product).
#pragma once

#include "kernels/cpu/bf16_kernels.h"
#include "kernels/cpu/bf16_product.h"
#include "kernels/cpu/bf16_round.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/prefill_bf16_impl.h"

namespace vortex::cpu {
namespace {

void round_rows(const float* x, std::int64_t ldx, int rows, int k, Bf16* out) {
  const int padded = padded_depth(k);
  for (int row = 0; row < rows; ++row) {
    round_row(x + row * ldx, k, 1.0F, padded, out + static_cast<std::int64_t>(row) * padded);
  }
}

template <typename Unit>
void bf16_panels(const Bf16* x, int rows, const PackedMatrix& w, float* y, std::int64_t ldy, std::int64_t panel_begin,
                 std::int64_t panel_end) {
  Bf16Product product;
  product.a = x;
  product.lda = padded_depth(w.k);
  product.rows = rows;
  product.panels = w.panels + panel_begin * panel_size(w.k);
  product.panel_stride = panel_size(w.k);
  product.depth = padded_depth(w.k);
  product.c = y + panel_begin * kLanes;
  product.ldc = ldy;
  const std::int64_t cols = (panel_end < (w.n + 15) / 16 ? panel_end * kLanes : w.n) - panel_begin * kLanes;
  product.cols = static_cast<int>(cols);
  Unit::begin();
  Unit::multiply(product);
  Unit::end();
}

template <typename Unit>
constexpr Bf16Kernels kernels_of() {
  return {round_rows, bf16_panels<Unit>, pack_kv, attend_bf16<Unit>};
}

}  // namespace
}  // namespace vortex::cpu
