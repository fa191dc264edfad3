// The kernel for every type of K and V: FlashAttention-2's schedule (arXiv:2307.08691) with warp-level matrix
// instructions: a thread block takes 64 rows of one query head, a warp 16 of them; K and V pass through shared memory
// 64 tokens at a time.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/prefill_paged.h"

namespace vortex::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kRows = kWarps * 16;
constexpr int kTokens = 64;

template <int kDim>
using TokenTile = SwizzledTile<kTokens, kDim>;

template <class T>
__device__ __forceinline__ uint4 load_as_bf16(const T* p) {
  if constexpr (sizeof(T) == 2) {
    return *reinterpret_cast<const uint4*>(p);
  } else {
    float x[8];
    load8(p, x);
    return make_uint4(pack(x[0], x[1]), pack(x[2], x[3]), pack(x[4], x[5]), pack(x[6], x[7]));
  }
}

template <class T, int kDim>
__device__ __forceinline__ void load_tokens(const PrefillAttention& a, int kv_head, int start, int total,
                                            TokenTile<kDim>& k, TokenTile<kDim>& v) {
  constexpr int kWords = kDim / 8;
#pragma unroll
  for (int i = 0; i < kTokens * kWords / kThreads; ++i) {
    const int index = i * kThreads + static_cast<int>(threadIdx.x);
    const int token = index / kWords;
    const int word = index % kWords;
    uint4 key = make_uint4(0, 0, 0, 0);
    uint4 value = key;
    const int position = start + token;
    if (position < total) {  // what lies beyond may be anything, and 0 * NaN is NaN
      const std::int64_t page = a.pages[position / a.kv.block];
      const std::int64_t row = (page * a.kv.num_kv_heads + kv_head) * a.kv.block + position % a.kv.block;
      key = load_as_bf16(static_cast<const T*>(a.kv.k) + row * kDim + word * 8);
      value = load_as_bf16(static_cast<const T*>(a.kv.v) + row * kDim + word * 8);
    }
    *k.at(token, word) = key;
    *v.at(token, word) = value;
  }
}

// 16 rows of one head. In the fragments of mma.m16n8k16 a lane holds rows lane / 4 and lane / 4 + 8, and the columns
// lane % 4 * 2 and the next of every 8.
template <int kDim>
struct RowBlock {
  static constexpr int kSteps = kDim / 16;
  std::uint32_t q[kSteps][4];
  float out[kDim / 8][4];
  float maximum[2];
  float sum[2];

  __device__ __forceinline__ void start(const PrefillAttention& a, int head, int first_row, int lane) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = first_row + lane / 4 + i % 2 * 8;
        const int column = s * 16 + i / 2 * 8 + lane % 4 * 2;
        const Bf16* from = a.q + (static_cast<std::int64_t>(row) * a.num_q_heads + head) * kDim + column;
        q[s][i] = row < a.rows ? *reinterpret_cast<const std::uint32_t*>(from) : 0U;
      }
    }
#pragma unroll
    for (auto& block : out) {
#pragma unroll
      for (float& x : block) { x = 0.0F; }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      maximum[i] = negative_infinity();
      sum[i] = 0.0F;
    }
  }

  // Takes in the tile of tokens from `start` on. `position` is that of this lane's first row.
  __device__ __forceinline__ void take(TokenTile<kDim>& k, TokenTile<kDim>& v, int start, int position, float scale,
                                       int lane) {
    float scores[kTokens / 8][4] = {};
#pragma unroll
    for (int n = 0; n < kTokens / 8; n += 2) {
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        std::uint32_t b[4];
        load_matrices(b, k.at((n + lane / 16) * 8 + lane % 8, s * 2 + lane / 8 % 2));
        multiply(scores[n], q[s], b[0], b[1]);
        multiply(scores[n + 1], q[s], b[2], b[3]);
      }
    }
    float largest[2] = {maximum[0], maximum[1]};
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = start + n * 8 + lane % 4 * 2 + i % 2;
        scores[n][i] = token <= position + i / 2 * 8 ? scores[n][i] * scale : negative_infinity();
        largest[i / 2] = fmaxf(largest[i / 2], scores[n][i]);
      }
    }
    float correction[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      largest[i] = fmaxf(largest[i], __shfl_xor_sync(kFullWarp, largest[i], 1));
      largest[i] = fmaxf(largest[i], __shfl_xor_sync(kFullWarp, largest[i], 2));
      correction[i] = exp2_approx(maximum[i] - largest[i]);  // token 0 is in the first tile: largest is finite
      maximum[i] = largest[i];
      sum[i] *= correction[i];
    }
#pragma unroll
    for (auto& block : out) {
#pragma unroll
      for (int i = 0; i < 4; ++i) { block[i] *= correction[i / 2]; }
    }
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = exp2_approx(scores[n][i] - largest[i / 2]);
        sum[i / 2] += scores[n][i];
      }
    }
#pragma unroll
    for (int t = 0; t < kTokens / 16; ++t) {
      const std::uint32_t weights[4] = {
          pack(scores[2 * t][0], scores[2 * t][1]), pack(scores[2 * t][2], scores[2 * t][3]),
          pack(scores[2 * t + 1][0], scores[2 * t + 1][1]), pack(scores[2 * t + 1][2], scores[2 * t + 1][3])};
#pragma unroll
      for (int d = 0; d < kDim / 8; d += 2) {
        std::uint32_t b[4];
        load_matrices_transposed(b, v.at(t * 16 + lane % 16, d + lane / 16));
        multiply(out[d], weights, b[0], b[1]);
        multiply(out[d + 1], weights, b[2], b[3]);
      }
    }
  }

  __device__ __forceinline__ void finish(const PrefillAttention& a, int head, int first_row, int lane) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      sum[i] += __shfl_xor_sync(kFullWarp, sum[i], 1);
      sum[i] += __shfl_xor_sync(kFullWarp, sum[i], 2);
      const int row = first_row + lane / 4 + i * 8;
      if (row >= a.rows) { continue; }
      const float inverse = a.kv.v_scale / sum[i];
      Bf16* to = a.out + (static_cast<std::int64_t>(row) * a.num_q_heads + head) * kDim + lane % 4 * 2;
#pragma unroll
      for (int d = 0; d < kDim / 8; ++d) {
        *reinterpret_cast<std::uint32_t*>(to + d * 8) = pack(out[d][2 * i] * inverse, out[d][2 * i + 1] * inverse);
      }
    }
  }
};

template <class T, int kDim>
__global__ void __launch_bounds__(kThreads) prefill_kernel(const PrefillAttention a) {
  extern __shared__ __align__(128) unsigned char storage[];
  auto& k = *reinterpret_cast<TokenTile<kDim>*>(storage);
  auto& v = *reinterpret_cast<TokenTile<kDim>*>(storage + sizeof(TokenTile<kDim>));
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(blockIdx.y);
  const int kv_head = head / (a.num_q_heads / a.kv.num_kv_heads);
  const int block_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;  // the longest rows start first
  const int first_row = block_row + static_cast<int>(threadIdx.x) / 32 * 16;
  const int total = a.first + min(block_row + kRows, a.rows);
  const float scale = a.scale * a.kv.k_scale * kLog2e;
  RowBlock<kDim> rows;
  rows.start(a, head, first_row, lane);
  for (int start = 0; start < total; start += kTokens) {
    load_tokens<T, kDim>(a, kv_head, start, total, k, v);
    __syncthreads();
    rows.take(k, v, start, a.first + first_row + lane / 4, scale, lane);
    __syncthreads();
  }
  rows.finish(a, head, first_row, lane);
}

template <class T, int kDim>
cudaError_t launch(const PrefillAttention& a, cudaStream_t stream) {
  const auto kernel = prefill_kernel<T, kDim>;
  constexpr int kBytes = 2 * static_cast<int>(sizeof(TokenTile<kDim>));
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (error != cudaSuccess) { return error; }
  const dim3 grid(static_cast<unsigned>(ceil_div(a.rows, kRows)), static_cast<unsigned>(a.num_q_heads));
  kernel<<<grid, kThreads, kBytes, stream>>>(a);
  return cudaGetLastError();
}

}  // namespace

cudaError_t prefill_attention(const PrefillAttention& args, cudaStream_t stream) {
  const bool pointers = args.q && args.out && args.kv.k && args.kv.v && args.pages;
  const bool heads = args.num_q_heads > 0 && args.kv.num_kv_heads > 0 && args.num_q_heads % args.kv.num_kv_heads == 0;
  if (!pointers || !heads || args.first < 0 || args.rows < 0 || args.kv.block <= 0) { return cudaErrorInvalidValue; }
  if (args.rows == 0) { return cudaSuccess; }
  if (!args.plain && paged_prefill_takes(args)) { return paged_prefill(args, stream); }
  return dispatch(args.kv, [&]<class T, int kDim>() { return launch<T, kDim>(args, stream); });
}

}  // namespace vortex::cuda
