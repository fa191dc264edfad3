// Log-probabilities out of logits: of given tokens, and of the most probable ones.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// For each active row, in natural logarithms: out[i] = log softmax(logits)[tokens[i]] (tokens below 0 are passed over),
// and the `num_top` tokens with the largest logits, the largest first, equal ones by token. Sums in fp64, so that the
// bits depend on the row alone. NaN is below every number.
struct LogProbs {
  const float* logits = nullptr;  // [row][stride]
  int num_rows = 0;
  int vocab = 0;
  int stride = 0;
  const std::uint8_t* active = nullptr;  // [row]; rows with 0 are left alone; null: all are active
  const std::int32_t* tokens = nullptr;  // [row][num_tokens], each below vocab
  int num_tokens = 0;
  float* out = nullptr;         // [row][num_tokens]
  int num_top = 0;              // at most vocab
  std::int32_t* top = nullptr;  // [row][num_top]
  float* top_out = nullptr;     // [row][num_top]
};

cudaError_t log_probs(const LogProbs& args, cudaStream_t stream);

}  // namespace vortex::cuda
