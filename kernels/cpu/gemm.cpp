#include "kernels/cpu/gemm.h"

#include <algorithm>

#include "kernels/cpu/bf16_kernels.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/wide.h"

namespace vortex::cpu {

void pack_row(const float* row, int output, int n, int k, Bf16* panels) {
  const PanelRun run = panel_run(n, k, output / 16, output / 16 + 1);
  Bf16* first = panels + run.offset + std::int64_t{2} * (output % 16);
  for (int i = 0; i < k; ++i) { first[i / 2 * run.pair_stride + i % 2] = float_to_bf16(row[i]); }
}

void gemm(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
          ThreadPool* pool, Isa isa) {
  const WideKernels& kernels = wide_kernels(isa);
  parallel_for(pool, (w.n + 15) / 16,
               [&](std::int64_t begin, std::int64_t end, int) { kernels.gemm(x, ldx, rows, w, y, ldy, begin, end); });
}

void gemm_all(const Product* products, int count, ThreadPool* pool, Isa isa) {
  const WideKernels& kernels = wide_kernels(isa);
  const auto panels = [](const Product& product) { return std::int64_t{(product.w.n + 15) / 16}; };
  std::int64_t total = 0;
  for (int i = 0; i < count; ++i) { total += panels(products[i]); }
  parallel_for(pool, total, [&](std::int64_t begin, std::int64_t end, int) {
    std::int64_t first = 0;  // panel of all, that the product begins with
    for (int i = 0; i < count && first < end; ++i) {
      const Product& p = products[i];
      const std::int64_t from = std::max<std::int64_t>(0, begin - first);
      const std::int64_t to = std::min(panels(p), end - first);
      if (from < to) { kernels.gemm(p.x, p.ldx, p.rows, p.w, p.y, p.ldy, from, to); }
      first += panels(p);
    }
  });
}

void gemm_bf16(Unit unit, const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
               Bf16* scratch, ThreadPool* pool) {
  const Bf16Kernels& kernels = bf16_kernels(unit);
  kernels.round_rows(x, ldx, rows, w.k, scratch);
  parallel_for(pool, (w.n + 15) / 16,
               [&](std::int64_t begin, std::int64_t end, int) { kernels.gemm(scratch, rows, w, y, ldy, begin, end); });
}

}  // namespace vortex::cpu
