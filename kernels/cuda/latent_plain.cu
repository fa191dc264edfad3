#include "kernels/cuda/latent_plain.h"
#include "kernels/cuda/latent_task.cuh"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kMaxDim = 1024;
constexpr int kMaxEach = kMaxDim / kThreads;

// The largest, or the sum, of a value of every thread.
template <class Combine>
__device__ __forceinline__ float over_block(float x, Combine combine) {
  __shared__ float parts[kThreads / 32];
#pragma unroll
  for (int width = 16; width > 0; width /= 2) { x = combine(x, __shfl_xor_sync(kFullWarp, x, width)); }
  __syncthreads();
  if (threadIdx.x % 32 == 0) { parts[threadIdx.x / 32] = x; }
  __syncthreads();
  x = parts[0];
#pragma unroll
  for (int w = 1; w < kThreads / 32; ++w) { x = combine(x, parts[w]); }
  return x;
}

__device__ __forceinline__ const Bf16* token_at(const LatentAttention& a, int request, int token) {
  const int visited = token / a.kv.block;
  const int block = a.selection.blocks != nullptr
                        ? a.selection.blocks[static_cast<std::int64_t>(request) * a.selection.max_selected + visited]
                        : visited;
  const std::int64_t page = a.table.pages[static_cast<std::int64_t>(request) * a.table.max_blocks + block];
  return static_cast<const Bf16*>(a.kv.k) + (page * a.kv.block + token % a.kv.block) * a.kv.head_dim;
}

// kThreads tokens at a time: a thread scores one of them, then gathers its own elements of the output from all.
__global__ void __launch_bounds__(kThreads) plain_latent_kernel(const LatentAttention a) {
  __shared__ float query[kMaxDim];
  __shared__ float weights[kThreads];
  __shared__ const Bf16* rows[kThreads];
  const std::int64_t flat = blockIdx.x;  // row * num_q_heads + head
  const int thread = static_cast<int>(threadIdx.x);
  LatentTask task;
  task.first = flat;
  task.rows = 1;
  if (a.prompt) {
    task = prompt_task(a, static_cast<int>(flat), 1);
  } else {
    task.request = static_cast<int>(flat / a.num_q_heads);
    finish_decode_task(a, a.table.lengths[task.request], task);
  }
  for (int i = thread; i < a.kv.head_dim; i += kThreads) {
    query[i] = __bfloat162float(a.q[flat * a.kv.head_dim + i]) * (a.scale * kLog2e);
  }
  __syncthreads();
  float maximum = negative_infinity();
  float sum = 0.0F;
  float out[kMaxEach] = {};
  for (int start = 0; start < task.tokens; start += kThreads) {
    const int count = min(kThreads, task.tokens - start);
    float score = negative_infinity();
    if (thread < count) {
      const Bf16* row = token_at(a, task.request, start + thread);
      score = 0.0F;
      for (int i = 0; i < a.kv.head_dim; ++i) { score = fmaf(query[i], __bfloat162float(row[i]), score); }
      rows[thread] = row;
    }
    const float larger = fmaxf(maximum, over_block(score, [](float x, float y) { return fmaxf(x, y); }));
    const float correction = exp2_approx(maximum - larger);
    const float weight = exp2_approx(score - larger);
    maximum = larger;
    sum = sum * correction + over_block(weight, [](float x, float y) { return x + y; });
    weights[thread] = weight;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kMaxEach; ++i) {
      const int at = i * kThreads + thread;
      if (at >= a.value_dim) { break; }
      float x = out[i] * correction;
      for (int t = 0; t < count; ++t) { x = fmaf(weights[t], __bfloat162float(rows[t][at]), x); }
      out[i] = x;
    }
    __syncthreads();
  }
  const float inverse = sum > 0.0F ? 1.0F / sum : 0.0F;
#pragma unroll
  for (int i = 0; i < kMaxEach; ++i) {
    const int at = i * kThreads + thread;
    if (at < a.value_dim) { a.out[flat * a.value_dim + at] = __float2bfloat16_rn(out[i] * inverse); }
  }
  if (a.lse != nullptr && thread == 0) {
    a.lse[flat] = sum > 0.0F ? (maximum + __log2f(sum)) * kLn2 : negative_infinity();
  }
}

}  // namespace

cudaError_t plain_latent_attention(const LatentAttention& args, cudaStream_t stream) {
  if (args.kv.head_dim > kMaxDim) { return cudaErrorNotSupported; }
  const unsigned grid = static_cast<unsigned>(args.rows) * static_cast<unsigned>(args.num_q_heads);
  plain_latent_kernel<<<grid, kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace vortex::cuda
