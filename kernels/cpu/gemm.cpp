#include "kernels/cpu/gemm.h"

#include "kernels/cpu/wide.h"

namespace vortex::cpu {

void pack_row(const float* row, int n, int k, Bf16* panels) {
  Bf16* place = panels + static_cast<std::int64_t>(n / 16) * k * 16 + n % 16;
  for (int i = 0; i < k; ++i) { place[static_cast<std::int64_t>(i) * 16] = float_to_bf16(row[i]); }
}

void gemm(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
          ThreadPool* pool, Isa isa) {
  const WideKernels& kernels = wide_kernels(isa);
  parallel_for(pool, (w.n + 15) / 16,
               [&](std::int64_t begin, std::int64_t end, int) { kernels.gemm(x, ldx, rows, w, y, ldy, begin, end); });
}

}  // namespace vortex::cpu
