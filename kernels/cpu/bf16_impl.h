// The kernels of a bfloat16 unit, for the instruction set that the including file is compiled for. `Unit` has begin()
// and end(), called around its use by one thread, and multiply(Bf16Product).
#pragma once

#include "kernels/cpu/bf16_kernels.h"
#include "kernels/cpu/bf16_product.h"
#include "kernels/cpu/bf16_round.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/panels.h"
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
  product.panel_stride = kPairs;
  product.depth = padded_depth(w.k);
  product.ldc = ldy;
  product.page_step = w.small_pages ? kGroupPairs : 0;
  Unit::begin();
  for (std::int64_t panel = panel_begin; panel < panel_end;) {
    const PanelRun run = panel_run(w.n, w.k, panel, panel_end);
    const std::int64_t left = w.n - panel * kLanes;
    product.panels = w.panels + run.offset;
    product.pair_stride = run.pair_stride;
    product.c = y + panel * kLanes;
    product.cols = static_cast<int>(left < run.count * kLanes ? left : run.count * kLanes);
    Unit::multiply(product);
    panel += run.count;
  }
  Unit::end();
}

template <typename Unit>
constexpr Bf16Kernels kernels_of() {
  return {round_rows, bf16_panels<Unit>, pack_kv, attend_bf16<Unit>};
}

}  // namespace
}  // namespace vortex::cpu
