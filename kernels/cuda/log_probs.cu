#include "kernels/cuda/device.cuh"
#include "kernels/cuda/log_probs.h"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;

// A token among those of a row: better means a larger logit, or the same and a lower token.
struct Candidate {
  float logit;
  int token;
  __device__ __forceinline__ bool better_than(const Candidate& other) const {
    return logit > other.logit || (logit == other.logit && token < other.token);
  }
};

__device__ __forceinline__ float number_or_lowest(float x) { return x == x ? x : negative_infinity(); }

__device__ __forceinline__ Candidate best_of_block(Candidate best, Candidate (&shared)[kWarps]) {
#pragma unroll
  for (int width = 16; width > 0; width /= 2) {
    const Candidate other{__shfl_xor_sync(kFullWarp, best.logit, width), __shfl_xor_sync(kFullWarp, best.token, width)};
    if (other.better_than(best)) { best = other; }
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) { shared[threadIdx.x / 32] = best; }
  __syncthreads();
  best = shared[0];
  for (int w = 1; w < kWarps; ++w) {
    if (shared[w].better_than(best)) { best = shared[w]; }
  }
  return best;
}

__device__ __forceinline__ double sum_of_block(double x, double (&shared)[kWarps]) {
#pragma unroll
  for (int width = 16; width > 0; width /= 2) { x += __shfl_xor_sync(kFullWarp, x, width); }
  if (threadIdx.x % 32 == 0) { shared[threadIdx.x / 32] = x; }
  __syncthreads();
  x = shared[0];
  for (int w = 1; w < kWarps; ++w) { x += shared[w]; }
  return x;
}

// The best token of a row that is worse than `bound`.
__device__ __forceinline__ Candidate next_best(const float* logits, int vocab, const Candidate& bound,
                                               Candidate (&shared)[kWarps]) {
  Candidate best{negative_infinity(), vocab};
#pragma unroll 4
  for (int token = static_cast<int>(threadIdx.x); token < vocab; token += kThreads) {
    const Candidate one{number_or_lowest(logits[token]), token};
    if (bound.better_than(one) && one.better_than(best)) { best = one; }
  }
  return best_of_block(best, shared);
}

__global__ void __launch_bounds__(kThreads) log_probs_kernel(const LogProbs a) {
  __shared__ Candidate candidates[kWarps];
  __shared__ double sums[kWarps];
  const int row = static_cast<int>(blockIdx.x);
  if (a.active != nullptr && a.active[row] == 0) { return; }
  const float* logits = a.logits + static_cast<std::int64_t>(row) * a.stride;
  const Candidate above_all{-negative_infinity(), -1};
  Candidate best = next_best(logits, a.vocab, above_all, candidates);
  const float top = best.logit;
  double sum = 0.0;
  for (int token = static_cast<int>(threadIdx.x); token < a.vocab; token += kThreads) {
    sum += static_cast<double>(expf(number_or_lowest(logits[token]) - top));
  }
  const double log_sum = static_cast<double>(top) + log(sum_of_block(sum, sums));
  const auto log_prob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - log_sum); };

  const std::int64_t first = static_cast<std::int64_t>(row) * a.num_tokens;
  for (int i = static_cast<int>(threadIdx.x); i < a.num_tokens; i += kThreads) {
    const std::int32_t token = a.tokens[first + i];
    if (token >= 0) { a.out[first + i] = log_prob(logits[token]); }
  }
  for (int i = 0; i < a.num_top; ++i) {
    if (i > 0) { best = next_best(logits, a.vocab, best, candidates); }
    if (threadIdx.x != 0) { continue; }
    a.top[static_cast<std::int64_t>(row) * a.num_top + i] = best.token;
    a.top_out[static_cast<std::int64_t>(row) * a.num_top + i] = log_prob(best.logit);
  }
}

}  // namespace

cudaError_t log_probs(const LogProbs& args, cudaStream_t stream) {
  const bool sizes = args.num_rows >= 0 && args.vocab > 0 && args.stride >= args.vocab && args.num_tokens >= 0 &&
                     args.num_top >= 0 && args.num_top <= args.vocab;
  const bool given = args.num_tokens == 0 || (args.tokens && args.out);
  const bool top = args.num_top == 0 || (args.top && args.top_out);
  if (!args.logits || !sizes || !given || !top) { return cudaErrorInvalidValue; }
  if (args.num_rows == 0) { return cudaSuccess; }
  log_probs_kernel<<<static_cast<unsigned>(args.num_rows), kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace vortex::cuda
