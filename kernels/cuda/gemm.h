// Matrix products of a decode step: few rows, so that time goes into reading the weights once.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// y[row][n] = sum_k x[row][k] w[n][k], summed in fp32, rounded once.
// Supported: at most 128 rows, k a multiple of 64, n a multiple of 16 * warps. x must be readable (whatever it holds)
// up to the next of 16, 32, 64 and 128 rows.
struct SkinnyGemm {
  const Bf16* w = nullptr;  // [n][k]
  const Bf16* x = nullptr;  // [row][k]
  void* y = nullptr;        // [row][stride], fp32 or bf16
  bool fp32 = false;
  int n = 0;
  int k = 0;
  int rows = 0;
  int stride = 0;
};

// A thread block takes 16 * warps outputs; `split` of them, a cluster, share the k of the same outputs and add their
// sums in order. The bits of a row depend on `split` and the row alone, not on the number of rows.
struct SkinnySchedule {
  int warps = 8;  // 4, 6 or 8
  int split = 1;  // 1, 2, 4 or 8
};

bool skinny_gemm_supports(const SkinnyGemm& args, const SkinnySchedule& schedule);

cudaError_t skinny_gemm(const SkinnyGemm& args, const SkinnySchedule& schedule, cudaStream_t stream);

}  // namespace vortex::cuda
