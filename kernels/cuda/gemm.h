// Matrix products of a decode step: few rows, so that time goes into reading the weights once.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// y[row][n] = sum_k x[row][k] w[n][k], summed in fp32, rounded once. With `swiglu` the first half of the n are gates,
// the second half what they gate: y[row][i] = silu(gate i) * up i with both rounded to bf16 first, i < n / 2.
// Supported: at most kMaxSkinnyRows rows, k a multiple of 64, n a multiple of 64 * groups. w and x begin at a multiple
// of 16 bytes.
struct SkinnyGemm {
  const Bf16* w = nullptr;  // [n][k]
  const Bf16* x = nullptr;  // [row][k]
  void* y = nullptr;        // [row][stride], fp32 or bf16
  bool fp32 = false;        // not with swiglu
  bool swiglu = false;
  int n = 0;
  int k = 0;
  int rows = 0;
  int stride = 0;  // a multiple of 4
};

inline constexpr int kMaxSkinnyRows = 128;

// A thread block takes 64 * groups outputs; `split` of them, a cluster, share the k of the same outputs and add their
// sums in order. The bits of a row depend on `split` and the row alone, not on the number of rows.
struct SkinnySchedule {
  int groups = 2;  // 1, 2 or 4; with swiglu 2 or 4
  int split = 1;   // 1, 2, 4 or 8
};

bool skinny_gemm_supports(const SkinnyGemm& args, const SkinnySchedule& schedule);

// Weights are fetched before the kernels before it on the stream are done: nothing may write them meanwhile.
cudaError_t skinny_gemm(const SkinnyGemm& args, const SkinnySchedule& schedule, cudaStream_t stream);

}  // namespace vortex::cuda
