// The small steps between the matrix products of a transformer layer.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// residual[t] += x[t] (skipped where x is null), then out[t] = residual[t] / sqrt(mean(residual[t]^2) + epsilon) *
// weight. All [num_tokens][width] bf16, sums in fp32; width a multiple of 8, at most 8192.
struct ResidualNorm {
  Bf16* residual = nullptr;
  const Bf16* x = nullptr;
  const Bf16* weight = nullptr;  // [width]
  Bf16* out = nullptr;
  int num_tokens = 0;
  int width = 0;
  float epsilon = 1e-6F;
};

cudaError_t residual_rms_norm(const ResidualNorm& args, cudaStream_t stream);

// out[t][i] = silu(gate_up[t][i]) * gate_up[t][width + i], silu(x) = x / (1 + exp(-x)).
// gate_up [num_tokens][2 * width], out [num_tokens][width], bf16; width a multiple of 8.
cudaError_t swiglu(const Bf16* gate_up, Bf16* out, int num_tokens, int width, cudaStream_t stream);

}  // namespace vortex::cuda
