#include "kernels/cuda/latent.h"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kMaxEach = 16;  // elements of a latent that a thread keeps

// A token's latent, thread t holding elements t, t + kThreads, ...
struct LatentRow {
  float x[kMaxEach];

  template <class Use>
  static __device__ __forceinline__ void each(int rank, Use use) {
#pragma unroll
    for (int i = 0; i < kMaxEach; ++i) {
      const int at = i * kThreads + static_cast<int>(threadIdx.x);
      if (at < rank) { use(i, at); }
    }
  }

  __device__ __forceinline__ void load(const Bf16* from, int rank) {
    each(rank, [&](int i, int at) { x[i] = __bfloat162float(from[at]); });
  }

  // What every element is multiplied with to be normed.
  __device__ __forceinline__ float inverse(int rank, float epsilon) const {
    __shared__ float warp_squares[kThreads / 32];
    float squares = 0.0F;
    each(rank, [&](int i, int) { squares = fmaf(x[i], x[i], squares); });
    squares = warp_sum(squares);
    if (threadIdx.x % 32 == 0) { warp_squares[threadIdx.x / 32] = squares; }
    __syncthreads();
    float total = 0.0F;
#pragma unroll
    for (const float part : warp_squares) { total += part; }
    return rsqrtf(total / static_cast<float>(rank) + epsilon);
  }
};

__device__ __forceinline__ void store_normed(const LatentRow& row, const LatentRow& weight, int rank, float epsilon,
                                             Bf16* to) {
  const float inverse = row.inverse(rank, epsilon);
  LatentRow::each(rank, [&](int i, int at) { to[at] = __float2bfloat16_rn(row.x[i] * (inverse * weight.x[i])); });
}

__device__ __forceinline__ void store_rotated(const Bf16* from, const Rotation& r, int position, Bf16* to) {
  for (int i = static_cast<int>(threadIdx.x); i < r.dim / 2; i += kThreads) {
    const float2 turn = r.table[static_cast<std::int64_t>(position) * (r.dim / 2) + i];
    const int low = r.interleaved ? 2 * i : i;
    const int high = r.interleaved ? 2 * i + 1 : i + r.dim / 2;
    const float a = __bfloat162float(from[low]);
    const float b = __bfloat162float(from[high]);
    to[low] = __float2bfloat16_rn(a * turn.x - b * turn.y);
    to[high] = __float2bfloat16_rn(b * turn.x + a * turn.y);
  }
}

// Thread block (token, 0) stores what is cached, (token, 1) the queries' latent.
__global__ void __launch_bounds__(kThreads) append_latent_kernel(const LatentAppend a) {
  const int token = static_cast<int>(blockIdx.x);
  const bool is_query = blockIdx.y == 1;
  const int rank = is_query ? a.q_rank : a.kv_rank;
  LatentRow weight;
  weight.load(is_query ? a.q_norm : a.k_norm, rank);
  const int request = a.requests != nullptr ? a.requests[token] : token;
  const int position = a.positions != nullptr ? a.positions[token] : a.table.lengths[request] - 1;
  const bool active = a.active == nullptr || a.active[token] != 0;
  if (position < 0 || !active) { return wait_for_predecessors(); }
  const std::int64_t slots = static_cast<std::int64_t>(request) * a.table.max_blocks;
  const std::int64_t page = is_query ? 0 : a.table.pages[slots + position / a.kv.block];
  allow_successor();
  wait_for_predecessors();
  const Bf16* from = a.projected + static_cast<std::int64_t>(token) * a.stride + (is_query ? 0 : a.latent_at);
  LatentRow row;
  row.load(from, rank);
  if (is_query) {
    return store_normed(row, weight, rank, a.epsilon, a.q_latent + static_cast<std::int64_t>(token) * rank);
  }
  Bf16* to = static_cast<Bf16*>(a.kv.k) + (page * a.kv.block + position % a.kv.block) * a.kv.head_dim;
  store_normed(row, weight, rank, a.epsilon, to);
  store_rotated(from + rank, a.rotation, position, to + rank);
}

}  // namespace

cudaError_t append_latent(const LatentAppend& args, cudaStream_t stream) {
  const bool pointers = args.projected && args.k_norm && args.kv.k && args.table.pages && args.table.lengths &&
                        (args.requests == nullptr) == (args.positions == nullptr) &&
                        (args.q_rank == 0 || (args.q_norm && args.q_latent)) &&
                        (args.rotation.dim == 0 || args.rotation.table);
  const bool sizes = args.num_tokens >= 0 && args.kv_rank > 0 && args.q_rank >= 0 && args.rotation.dim >= 0 &&
                     args.rotation.dim % 2 == 0 && args.kv.head_dim == args.kv_rank + args.rotation.dim &&
                     args.kv.block > 0 && args.table.max_blocks > 0;
  if (!pointers || !sizes) { return cudaErrorInvalidValue; }
  constexpr int kMaxRank = kThreads * kMaxEach;
  if (args.kv.type != KvType::bf16 || args.kv.num_kv_heads != 1 || args.kv_rank > kMaxRank || args.q_rank > kMaxRank) {
    return cudaErrorNotSupported;
  }
  if (args.num_tokens == 0) { return cudaSuccess; }
  const dim3 grid(static_cast<unsigned>(args.num_tokens), args.q_rank > 0 ? 2 : 1);
  return launch_early(append_latent_kernel, grid, kThreads, 0, stream, args);
}

}  // namespace vortex::cuda
