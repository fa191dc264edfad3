#include "kernels/cpu/gemm.h"

#include "kernels/cpu/bf16_kernels.h"
#include "kernels/cpu/wide.h"

namespace vortex::cpu {

void pack_row(const float* row, int n, int k, Bf16* panels) {
  Bf16* panel = panels + n / 16 * panel_size(k) + std::int64_t{2} * (n % 16);
  for (int i = 0; i < k; ++i) { panel[std::int64_t{i / 2} * 32 + i % 2] = float_to_bf16(row[i]); }
}

void gemm(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
          ThreadPool* pool, Isa isa) {
  const WideKernels& kernels = wide_kernels(isa);
  parallel_for(pool, (w.n + 15) / 16,
               [&](std::int64_t begin, std::int64_t end, int) { kernels.gemm(x, ldx, rows, w, y, ldy, begin, end); });
}

void gemm_bf16(Unit unit, const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
               Bf16* scratch, ThreadPool* pool) {
  const Bf16Kernels& kernels = bf16_kernels(unit);
  kernels.round_rows(x, ldx, rows, w.k, scratch);
  parallel_for(pool, (w.n + 15) / 16,
               [&](std::int64_t begin, std::int64_t end, int) { kernels.gemm(scratch, rows, w, y, ldy, begin, end); });
}

}  // namespace vortex::cpu
