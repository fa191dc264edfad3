#include "kernels/cuda/append.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr int kWarps = 4;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(Bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float to_float(__nv_fp8_e4m3 x) { return static_cast<float>(x); }
__device__ __forceinline__ float to_float(__nv_fp8_e5m2 x) { return static_cast<float>(x); }

// Rounds to nearest; fp8 saturates to its largest finite value.
__device__ __forceinline__ void store(float* p, float x) { *p = x; }
__device__ __forceinline__ void store(Bf16* p, float x) { *p = __float2bfloat16_rn(x); }
__device__ __forceinline__ void store(__nv_fp8_e4m3* p, float x) { *p = __nv_fp8_e4m3(x); }
__device__ __forceinline__ void store(__nv_fp8_e5m2* p, float x) { *p = __nv_fp8_e5m2(x); }

// The dimensions that a lane is responsible for: kDim / 32 of them, in pairs (i, i + half) that rotate together. Where
// only a part of a head is rotated, what is left makes pairs that do not.
template <int kDim, bool kPartial>
struct LaneDims {
  static constexpr int kPairs = kDim / 64;
  int half = kDim / 2;  // of the rotated dimensions

  static __device__ __forceinline__ int pair(int lane, int i) { return lane * kPairs + i; }
  __device__ __forceinline__ bool rotates(int lane, int i) const { return !kPartial || pair(lane, i) < half; }
  __device__ __forceinline__ int dim(int lane, int j) const {
    const int at = pair(lane, j % kPairs);
    if (!kPartial) { return j < kPairs ? at : at + kDim / 2; }
    const bool turns = at < half;
    return j < kPairs ? (turns ? at : at + half) : at + (turns ? half : kDim / 2);
  }
};

// The summaries of one block of one kv head, token by token. A warp; each lane has its own dimensions.
template <class T, int kDim, class Dims>
class Summary {
 public:
  __device__ __forceinline__ Summary(const KvPool& kv, std::int64_t page_head, int lane, const Dims& dims)
      : kv_(kv), page_head_(page_head), lane_(lane), dims_(dims) {
#pragma unroll
    for (int j = 0; j < kDim / 32; ++j) {
      largest_[j] = negative_infinity();
      smallest_[j] = -negative_infinity();
    }
  }

  __device__ __forceinline__ void add(int first, int end) {
    const T* keys = static_cast<const T*>(kv_.k) + page_head_ * kv_.block * kDim;
#pragma unroll 8
    for (int t = first; t < end; ++t) {
#pragma unroll
      for (int j = 0; j < kDim / 32; ++j) {
        const float x = to_float(keys[t * kDim + dims_.dim(lane_, j)]) * kv_.k_scale;
        sum_[j] += x;
        largest_[j] = fmaxf(largest_[j], x);
        smallest_[j] = fminf(smallest_[j], x);
      }
    }
  }

  __device__ __forceinline__ void write(const BlockSummary& out) const {
#pragma unroll
    for (int j = 0; j < kDim / 32; ++j) {
      const std::int64_t at = page_head_ * kDim + dims_.dim(lane_, j);
      if (out.mean != nullptr) { out.mean[at] = __float2bfloat16_rn(sum_[j] / static_cast<float>(kv_.block)); }
      if (out.max != nullptr) { out.max[at] = __float2bfloat16_rn(largest_[j]); }
      if (out.min != nullptr) { out.min[at] = __float2bfloat16_rn(smallest_[j]); }
    }
  }

 private:
  const KvPool& kv_;
  std::int64_t page_head_;
  int lane_;
  Dims dims_;
  float sum_[kDim / 32] = {};
  float largest_[kDim / 32];
  float smallest_[kDim / 32];
};

// This lane's elements of a vector of kDim.
template <int kDim, class Dims>
__device__ __forceinline__ void load_dims(const Bf16* from, int lane, const Dims& dims, float (&x)[kDim / 32]) {
#pragma unroll
  for (int j = 0; j < kDim / 32; ++j) { x[j] = to_float(from[dims.dim(lane, j)]); }
}

// What a head's own norm multiplies it by.
template <int kDim>
__device__ __forceinline__ float head_factor(const float (&x)[kDim / 32], float epsilon) {
  float squares = 0.0F;
#pragma unroll
  for (float v : x) { squares = fmaf(v, v, squares); }
  return rsqrtf(warp_sum(squares) / static_cast<float>(kDim) + epsilon);
}

template <int kDim>
__device__ __forceinline__ void rotate(float (&x)[kDim / 32], const float2 (&turns)[kDim / 64]) {
  constexpr int kPairs = kDim / 64;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const float low = x[i];
    const float high = x[i + kPairs];
    x[i] = low * turns[i].x - high * turns[i].y;
    x[i + kPairs] = high * turns[i].x + low * turns[i].y;
  }
}

// One warp per head of one token. What does not come from the projection is fetched while that still runs.
template <class T, int kDim, bool kPartial>
__global__ void __launch_bounds__(kWarps * 32) append_kernel(const KvAppend a) {
  using Dims = LaneDims<kDim, kPartial>;
  const Dims dims{kPartial ? a.rotated / 2 : kDim / 2};
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int token = static_cast<int>(blockIdx.y);
  const int heads = a.num_q_heads + 2 * a.kv.num_kv_heads;
  if (head >= heads) { return wait_for_predecessors(); }
  const bool is_query = head < a.num_q_heads;
  const bool is_key = !is_query && head < a.num_q_heads + a.kv.num_kv_heads;
  const Bf16* norm = is_query ? a.q_norm : is_key ? a.k_norm : nullptr;
  if (norm != nullptr && a.factors != nullptr) { norm += (is_query ? head : head - a.num_q_heads) * kDim; }
  float weight[kDim / 32];
  float bias[kDim / 32];
  float2 turns[kDim / 64];
  if (norm != nullptr) { load_dims<kDim>(norm, lane, dims, weight); }
  const int request = a.requests != nullptr ? a.requests[token] : token;
  const int position = a.positions != nullptr ? a.positions[token] : a.table.lengths[request] - 1;
  const bool active = a.active == nullptr || a.active[token] != 0;
  if (position < 0 || !active) { return wait_for_predecessors(); }
  if (a.bias != nullptr) { load_dims<kDim>(a.bias + static_cast<std::int64_t>(head) * kDim, lane, dims, bias); }
  const float2* rope = a.rope + static_cast<std::int64_t>(position) * dims.half;
#pragma unroll
  for (int i = 0; i < kDim / 64; ++i) {
    turns[i] = dims.rotates(lane, i) ? rope[Dims::pair(lane, i)] : make_float2(1.0F, 0.0F);
  }
  const std::int64_t slots = static_cast<std::int64_t>(request) * a.table.max_blocks;
  const std::int64_t page = is_query ? 0 : a.table.pages[slots + position / a.kv.block];
  const int kv_head = head - a.num_q_heads - (is_key ? 0 : a.kv.num_kv_heads);
  const std::int64_t page_head = page * a.kv.num_kv_heads + kv_head;
  const int slot = position % a.kv.block;
  const bool completes = is_key && a.requests == nullptr && slot + 1 == a.kv.block;
  Summary<T, kDim, Dims> summary(a.kv, page_head, lane, dims);
  if (completes) { summary.add(0, slot); }
  allow_successor();  // not before: what it fetches early would be in the way
  wait_for_predecessors();

  float x[kDim / 32];
  load_dims<kDim>(a.qkv + (static_cast<std::int64_t>(token) * heads + head) * kDim, lane, dims, x);
  if (a.bias != nullptr) {
#pragma unroll
    for (int j = 0; j < kDim / 32; ++j) { x[j] += bias[j]; }
  }
  if (norm != nullptr) {
    const float factor = a.factors == nullptr ? head_factor<kDim>(x, a.epsilon)
                         : is_query           ? a.factors[token].x
                                              : a.factors[token].y;
#pragma unroll
    for (int j = 0; j < kDim / 32; ++j) { x[j] *= factor * weight[j]; }
  }
  if (is_query || is_key) { rotate<kDim>(x, turns); }
  if (is_query) {
    Bf16* to = a.q + (static_cast<std::int64_t>(token) * a.num_q_heads + head) * kDim;
#pragma unroll
    for (int j = 0; j < kDim / 32; ++j) { store(to + dims.dim(lane, j), x[j]); }
    return;
  }
  T* to = static_cast<T*>(is_key ? a.kv.k : a.kv.v) + (page_head * a.kv.block + slot) * kDim;
  const float scale = is_key ? a.kv.k_scale : a.kv.v_scale;
#pragma unroll
  for (int j = 0; j < kDim / 32; ++j) { store(to + dims.dim(lane, j), x[j] / scale); }
  if (!completes) { return; }
  summary.add(slot, slot + 1);  // each lane reads what it stored itself just before
  summary.write(a.summary);
}

// One warp per (new block, request, kv head).
template <class T, int kDim>
__global__ void __launch_bounds__(32) summarize_kernel(const SummarizeBlocks a) {
  const int request = static_cast<int>(blockIdx.y);
  const int block = a.first_tokens[request] / a.kv.block + static_cast<int>(blockIdx.x);
  if (block >= a.table.lengths[request] / a.kv.block) { return; }
  const std::int64_t page = a.table.pages[static_cast<std::int64_t>(request) * a.table.max_blocks + block];
  using Dims = LaneDims<kDim, false>;
  const std::int64_t page_head = page * a.kv.num_kv_heads + blockIdx.z;
  Summary<T, kDim, Dims> summary(a.kv, page_head, static_cast<int>(threadIdx.x), Dims());
  summary.add(0, a.kv.block);
  summary.write(a.summary);
}

constexpr int kFactorThreads = 256;

// The sum over the block's threads, added in the order of the warps.
__device__ __forceinline__ float block_sum(float x, float (&warps)[kFactorThreads / 32]) {
  const float sum = warp_sum(x);
  if (threadIdx.x % 32 == 0) { warps[threadIdx.x / 32] = sum; }
  __syncthreads();
  float total = 0.0F;
  for (const float s : warps) { total += s; }
  return total;
}

// One block per token.
__global__ void __launch_bounds__(kFactorThreads) head_factors_kernel(const HeadFactors a) {
  __shared__ float warps[2][kFactorThreads / 32];
  const int sizes[2] = {a.num_q_heads * a.head_dim, a.num_kv_heads * a.head_dim};
  const Bf16* row = a.qkv + static_cast<std::int64_t>(blockIdx.x) * (sizes[0] + 2 * sizes[1]);
  float factors[2];
  allow_successor();
  wait_for_predecessors();
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    float squares = 0.0F;
    for (int at = static_cast<int>(threadIdx.x) * 8; at < sizes[part]; at += kFactorThreads * 8) {
      float x[8];
      load8(row + part * sizes[0] + at, x);
#pragma unroll
      for (float v : x) { squares = fmaf(v, v, squares); }
    }
    factors[part] = rsqrtf(block_sum(squares, warps[part]) / static_cast<float>(sizes[part]) + a.epsilon);
  }
  if (threadIdx.x == 0) { a.factors[blockIdx.x] = make_float2(factors[0], factors[1]); }
}

template <class T, int kDim>
cudaError_t launch(const KvAppend& a, cudaStream_t stream) {
  const int heads = a.num_q_heads + 2 * a.kv.num_kv_heads;
  const dim3 grid(static_cast<unsigned>(ceil_div(heads, kWarps)), static_cast<unsigned>(a.num_tokens));
  const bool partial = a.rotated > 0 && a.rotated != kDim;
  return launch_early(partial ? append_kernel<T, kDim, true> : append_kernel<T, kDim, false>, grid, kWarps * 32, 0,
                      stream, a);
}

template <class T, int kDim>
cudaError_t launch(const SummarizeBlocks& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.max_new_blocks), static_cast<unsigned>(a.num_requests),
                  static_cast<unsigned>(a.kv.num_kv_heads));
  summarize_kernel<T, kDim><<<grid, 32, 0, stream>>>(a);
  return cudaGetLastError();
}

// Launches nothing: asks for the attributes of the kernel that would summarise the pool.
struct AskSummarize {
  KvPool kv;
  cudaFuncAttributes* attributes = nullptr;
};

template <class T, int kDim>
cudaError_t launch(const AskSummarize& a, cudaStream_t) {
  return cudaFuncGetAttributes(a.attributes, summarize_kernel<T, kDim>);
}

template <class Args>
cudaError_t launch_any(const Args& a, cudaStream_t stream) {
  return dispatch(a.kv, [&]<class T, int kDim>() { return launch<T, kDim>(a, stream); });
}

bool valid(const KvPool& kv, const PageTable& table) {
  return kv.k && kv.v && kv.num_kv_heads > 0 && kv.block > 0 && table.pages && table.lengths && table.max_blocks > 0;
}

constexpr int kMaxGridY = 65535;

}  // namespace

cudaError_t append_kv(const KvAppend& args, cudaStream_t stream) {
  const bool pointers = args.qkv && args.rope && args.q && (args.requests == nullptr) == (args.positions == nullptr);
  const bool rotated = args.rotated >= 0 && args.rotated % 2 == 0 && args.rotated <= args.kv.head_dim;
  const bool sizes = args.num_tokens >= 0 && args.num_tokens <= kMaxGridY && args.num_q_heads > 0 && rotated;
  if (!pointers || !sizes || !valid(args.kv, args.table)) { return cudaErrorInvalidValue; }
  if (args.num_tokens == 0) { return cudaSuccess; }
  return launch_any(args, stream);
}

cudaError_t head_factors(const HeadFactors& args, cudaStream_t stream) {
  const bool sizes = args.num_tokens >= 0 && args.num_q_heads > 0 && args.num_kv_heads > 0 && args.head_dim > 0;
  if (!args.qkv || !args.factors || !sizes) { return cudaErrorInvalidValue; }
  if (args.head_dim % 8 != 0) { return cudaErrorNotSupported; }
  if (args.num_tokens == 0) { return cudaSuccess; }
  return launch_early(head_factors_kernel, dim3(static_cast<unsigned>(args.num_tokens)), kFactorThreads, 0, stream,
                      args);
}

cudaError_t summarize_blocks(const SummarizeBlocks& args, cudaStream_t stream) {
  const bool sizes = args.num_requests >= 0 && args.num_requests <= kMaxGridY && args.max_new_blocks >= 0;
  if (!args.first_tokens || !sizes || !valid(args.kv, args.table)) { return cudaErrorInvalidValue; }
  if (args.num_requests == 0 || args.max_new_blocks == 0) { return cudaSuccess; }
  return launch_any(args, stream);
}

cudaError_t summarize_blocks_attributes(KvType type, int head_dim, cudaFuncAttributes& attributes) {
  AskSummarize ask;
  ask.kv.type = type;
  ask.kv.head_dim = head_dim;
  ask.attributes = &attributes;
  return launch_any(ask, nullptr);
}

}  // namespace vortex::cuda
