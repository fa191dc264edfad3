// Sampling the next token on the device.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

enum class LogitType : std::uint8_t { bf16, fp32 };

// For each row, in this order: logits are divided by the temperature; if top_k > 0, tokens below the k-th largest logit
// are dropped (all that equal it stay); if top_p < 1, of those that are left the fewest highest logits whose
// probabilities sum to at least top_p stay (again with all that equal the last); one of the remaining is drawn by its
// probability. Temperature 0 takes the largest logit. Ties of the draw and of the largest logit go to the lower token;
// NaN never wins over a number. The draw depends on (seed, request id, position) and the logits alone: the same
// whatever the batch, the order or the number of launches. It is an exponential race (each token arrives after -log(1 -
// u) / p; the first wins) with u from Philox-4x32-10 (Salmon et al., SC'11), key = seed, counter = (token / 4,
// position, request id).
struct Sample {
  const void* logits = nullptr;  // [row][stride]
  LogitType type = LogitType::bf16;
  int num_rows = 0;
  int vocab = 0;
  int stride = 0;                              // at least vocab, a multiple of 8
  const float* temperatures = nullptr;         // [row]
  const std::int32_t* top_k = nullptr;         // [row]; null or <= 0: off
  const float* top_p = nullptr;                // [row]; null or >= 1: off
  const std::uint64_t* seeds = nullptr;        // [row]
  const std::uint64_t* request_ids = nullptr;  // [row]
  const std::int32_t* positions = nullptr;     // [row], of the token being drawn
  const std::uint8_t* active = nullptr;        // [row]; rows with 0 keep their token; null: all are active
  std::int32_t* tokens = nullptr;              // [row], the result
};

cudaError_t sample(const Sample& args, cudaStream_t stream);

}  // namespace vortex::cuda
