#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/recall.h"
#include "kernels/cuda/select.h"
#include "kernels/cuda/select_keys.cuh"

namespace vortex::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kBlocksOfWarp = 4;  // KV blocks that a warp scores: enough thread blocks for few rows
constexpr int kThreads = 256;     // of the kernel that reduces a row
constexpr int kLatentEach = 20;   // elements of a latent that a lane takes

__device__ __forceinline__ float2* weights_of(const MeasureRecall& a, std::int64_t row, int head) {
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  return a.workspace + (row * group + head) * a.table.max_blocks;
}

// The largest score of one query head in one block, times log2(e), and the sum of 2^(score - largest). A warp;
// kDim / 8 lanes share a token. Tokens from `valid` on do not count, whatever they hold.
template <class T, int kDim>
__device__ __forceinline__ float2 block_weight(const T* keys, const float (&q)[8], int tokens, int valid, int lane) {
  constexpr int kLanes = kDim / 8;
  constexpr int kTokens = 32 / kLanes;
  float largest = negative_infinity();
  float sum = 0.0F;
  for (int first = 0; first < tokens; first += kTokens) {
    const int token = first + lane / kLanes;
    float x[8];
    load8(keys + static_cast<std::int64_t>(token) * kDim + lane % kLanes * 8, x);
    float dot = q[0] * x[0];
#pragma unroll
    for (int d = 1; d < 8; ++d) { dot = fmaf(q[d], x[d], dot); }
#pragma unroll
    for (int width = kLanes / 2; width > 0; width /= 2) { dot += __shfl_xor_sync(kFullWarp, dot, width); }
    if (token < valid) {
      const float larger = fmaxf(largest, dot);
      sum = fmaf(sum, exp2_approx(largest - larger), exp2_approx(dot - larger));
      largest = larger;
    }
  }
#pragma unroll
  for (int width = kLanes; width < 32; width *= 2) {
    const float other = __shfl_xor_sync(kFullWarp, largest, width);
    const float other_sum = __shfl_xor_sync(kFullWarp, sum, width);
    const float larger = fmaxf(largest, other);
    if (larger != negative_infinity()) {
      sum = sum * exp2_approx(largest - larger) + other_sum * exp2_approx(other - larger);
      largest = larger;
    }
  }
  return make_float2(largest, sum);
}

template <class T, int kDim>
__global__ void __launch_bounds__(kWarps * 32) weigh_blocks_kernel(const MeasureRecall a) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.y);
  const int request = row / a.kv.num_kv_heads;
  const int kv_head = row % a.kv.num_kv_heads;
  const int length = a.table.lengths[request];
  const int blocks = ceil_div(length, a.kv.block);
  const int first = (static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32) * kBlocksOfWarp;
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  const std::int32_t* pages = a.table.pages + static_cast<std::int64_t>(request) * a.table.max_blocks;
  for (int block = first; block < min(first + kBlocksOfWarp, blocks); ++block) {
    const std::int64_t page_head = static_cast<std::int64_t>(pages[block]) * a.kv.num_kv_heads + kv_head;
    const T* keys = static_cast<const T*>(a.kv.k) + page_head * a.kv.block * kDim;
    for (int g = 0; g < group; ++g) {  // after the first head the keys come from L1
      float q[8];
      load8(a.q + (static_cast<std::int64_t>(row) * group + g) * kDim + lane % (kDim / 8) * 8, q);
#pragma unroll
      for (float& x : q) { x *= a.scale * a.kv.k_scale * kLog2e; }
      const float2 weight = block_weight<T, kDim>(keys, q, a.kv.block, length - block * a.kv.block, lane);
      if (lane == 0) { weights_of(a, row, g)[block] = weight; }
    }
  }
}

// The same for latents, of any size: the lanes share an element in turn.
__global__ void __launch_bounds__(kWarps * 32) weigh_latents_kernel(const MeasureRecall a) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int request = static_cast<int>(blockIdx.y);
  const int length = a.table.lengths[request];
  const int block = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (block >= ceil_div(length, a.kv.block)) { return; }
  const int dim = a.kv.head_dim;
  const std::int64_t page = a.table.pages[static_cast<std::int64_t>(request) * a.table.max_blocks + block];
  const Bf16* keys = static_cast<const Bf16*>(a.kv.k) + page * a.kv.block * dim;
  for (int head = 0; head < a.num_q_heads; ++head) {
    const Bf16* query = a.q + (static_cast<std::int64_t>(request) * a.num_q_heads + head) * dim;
    float q[kLatentEach];
#pragma unroll
    for (int i = 0; i < kLatentEach; ++i) {
      const int at = i * 32 + lane;
      q[i] = at < dim ? __bfloat162float(query[at]) * (a.scale * kLog2e) : 0.0F;
    }
    float2 weight = make_float2(negative_infinity(), 0.0F);
    for (int token = 0; token < min(a.kv.block, length - block * a.kv.block); ++token) {
      float dot = 0.0F;
#pragma unroll
      for (int i = 0; i < kLatentEach; ++i) {
        const int at = i * 32 + lane;
        if (at < dim) { dot = fmaf(q[i], __bfloat162float(keys[static_cast<std::int64_t>(token) * dim + at]), dot); }
      }
      dot = warp_sum(dot);
      const float larger = fmaxf(weight.x, dot);
      weight.y = fmaf(weight.y, exp2_approx(weight.x - larger), exp2_approx(dot - larger));
      weight.x = larger;
    }
    if (lane == 0) { weights_of(a, request, head)[block] = weight; }
  }
}

// The sum, or the largest, of a value of every thread; all threads get it.
template <class Combine>
__device__ __forceinline__ float reduce_block(float x, float (&shared)[kThreads / 32], Combine combine) {
#pragma unroll
  for (int width = 16; width > 0; width /= 2) { x = combine(x, __shfl_xor_sync(kFullWarp, x, width)); }
  __syncthreads();
  if (threadIdx.x % 32 == 0) { shared[threadIdx.x / 32] = x; }
  __syncthreads();
  x = shared[0];
#pragma unroll
  for (int w = 1; w < kThreads / 32; ++w) { x = combine(x, shared[w]); }
  return x;
}
struct Add {
  __device__ float operator()(float x, float y) const { return x + y; }
};
struct Larger {
  __device__ float operator()(float x, float y) const { return fmaxf(x, y); }
};

// Blocks [first, last) of a row.
struct BlockRange {
  int first;
  int last;
};

class RowReducer {
 public:
  __device__ __forceinline__ RowReducer(const MeasureRecall& a, int row, unsigned* keys, unsigned* attended)
      : a_(a),
        row_(row),
        blocks_(ceil_div(a.table.lengths[row / a.kv.num_kv_heads], a.kv.block)),
        competing_{min(a.reserved_first, blocks_), max(min(a.reserved_first, blocks_), blocks_ - a.reserved_last)},
        keys_(keys),
        attended_(attended) {}

  __device__ __forceinline__ int blocks() const { return blocks_; }
  __device__ __forceinline__ BlockRange all() const { return {0, blocks_}; }
  __device__ __forceinline__ BlockRange competing() const { return competing_; }

  // Marks what the selection attends, and sets all masses to 0.
  __device__ __forceinline__ void start() {
    for (int i = static_cast<int>(threadIdx.x); i < ceil_div(blocks_, 32); i += kThreads) { attended_[i] = 0; }
    for (int i = static_cast<int>(threadIdx.x); i < blocks_; i += kThreads) { keys_[i] = 0; }
    __syncthreads();
    const std::int32_t* selected = a_.selection.blocks + static_cast<std::int64_t>(row_) * a_.selection.max_selected;
    for (int i = static_cast<int>(threadIdx.x); i < a_.selection.counts[row_]; i += kThreads) {
      atomicOr(attended_ + selected[i] / 32, 1U << selected[i] % 32);
    }
    __syncthreads();
  }

  // The share of the range's softmax mass on its attended blocks for one query head; 1 where the range is empty.
  __device__ __forceinline__ float attended_share(int head, const BlockRange& range) {
    const float2* weights = weights_of(a_, row_, head);
    const float top = largest(weights, range);
    float sum = 0.0F;
    float on_attended = 0.0F;
    for (int i = range.first + static_cast<int>(threadIdx.x); i < range.last; i += kThreads) {
      const float mass = weights[i].y * exp2_approx(weights[i].x - top);
      sum += mass;
      if (is_attended(i)) { on_attended += mass; }
    }
    sum = reduce_block(sum, shared(), Add());
    on_attended = reduce_block(on_attended, shared(), Add());
    return range.first < range.last ? on_attended / sum : 1.0F;
  }

  // Adds one query head's softmax mass to that of each block.
  __device__ __forceinline__ void add_masses(int head) {
    const float2* weights = weights_of(a_, row_, head);
    const float top = largest(weights, all());
    float sum = 0.0F;
    for (int i = static_cast<int>(threadIdx.x); i < blocks_; i += kThreads) {
      sum += weights[i].y * exp2_approx(weights[i].x - top);
    }
    sum = reduce_block(sum, shared(), Add());
    for (int i = static_cast<int>(threadIdx.x); i < blocks_; i += kThreads) {  // the same thread for every head
      keys_[i] = __float_as_uint(__uint_as_float(keys_[i]) + weights[i].y * exp2_approx(weights[i].x - top) / sum);
    }
  }

  // Masses to keys that select_keys.cuh orders: they are not negative.
  __device__ __forceinline__ void finish_masses() {
    for (int i = static_cast<int>(threadIdx.x); i < blocks_; i += kThreads) { keys_[i] |= 0x80000000U; }
    __syncthreads();
  }

  __device__ __forceinline__ float best_share(const BlockRange& range, Digits& digits) {
    const int k = count(range, 0U);
    if (k == 0) { return 1.0F; }
    const unsigned bound =
        find_threshold<kThreads, 32>(keys_ + range.first, range.last - range.first, digits, false, k, -1).bound;
    return static_cast<float>(count(range, bound)) / static_cast<float>(k);
  }

 private:
  __device__ __forceinline__ bool is_attended(int block) const {
    return (attended_[block / 32] >> block % 32 & 1U) != 0;
  }

  __device__ __forceinline__ static float (&shared())[kThreads / 32] {
    __shared__ float values[kThreads / 32];
    return values;
  }

  __device__ __forceinline__ float largest(const float2* weights, const BlockRange& range) {
    float top = negative_infinity();
    for (int i = range.first + static_cast<int>(threadIdx.x); i < range.last; i += kThreads) {
      top = fmaxf(top, weights[i].x);
    }
    return reduce_block(top, shared(), Larger());
  }

  // Attended blocks of the range whose key is at least `bound`.
  __device__ __forceinline__ int count(const BlockRange& range, unsigned bound) {
    float mine = 0.0F;
    for (int i = range.first + static_cast<int>(threadIdx.x); i < range.last; i += kThreads) {
      mine += is_attended(i) && keys_[i] >= bound ? 1.0F : 0.0F;
    }
    return static_cast<int>(reduce_block(mine, shared(), Add()));
  }

  const MeasureRecall& a_;
  int row_;
  int blocks_;
  BlockRange competing_;
  unsigned* keys_;      // [block] first the group's softmax mass, then its key
  unsigned* attended_;  // a bit a block
};

// One thread block a row.
__global__ void __launch_bounds__(kThreads) reduce_row_kernel(const MeasureRecall a) {
  extern __shared__ unsigned storage[];
  __shared__ Digits digits;
  const int row = static_cast<int>(blockIdx.x);
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  RowReducer reducer(a, row, storage, storage + a.table.max_blocks);
  if (reducer.blocks() == 0) { return; }
  reducer.start();
  float mass = 0.0F;
  float mass_chosen = 0.0F;
  for (int g = 0; g < group; ++g) {
    mass += reducer.attended_share(g, reducer.all());
    mass_chosen += reducer.attended_share(g, reducer.competing());
    reducer.add_masses(g);
  }
  reducer.finish_masses();
  const float best = reducer.best_share(reducer.all(), digits);
  const float best_chosen = reducer.best_share(reducer.competing(), digits);
  if (threadIdx.x != 0) { return; }
  RecallSums& sums = a.sums[row];
  sums.mass += static_cast<double>(mass) / group;
  sums.mass_chosen += static_cast<double>(mass_chosen) / group;
  sums.best += static_cast<double>(best);
  sums.best_chosen += static_cast<double>(best_chosen);
  sums.looks += 1;
}

template <class T, int kDim>
cudaError_t launch_weighing(const MeasureRecall& a, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(a.num_requests * a.kv.num_kv_heads);
  const dim3 grid(static_cast<unsigned>(ceil_div(a.table.max_blocks, kWarps * kBlocksOfWarp)), rows);
  weigh_blocks_kernel<T, kDim><<<grid, kWarps * 32, 0, stream>>>(a);
  return cudaGetLastError();
}

cudaError_t weigh(const MeasureRecall& a, cudaStream_t stream) {
  if (a.kv.head_dim == 64 || a.kv.head_dim == 128) {
    return dispatch(a.kv, [&]<class T, int kDim>() { return launch_weighing<T, kDim>(a, stream); });
  }
  if (a.kv.type != KvType::bf16 || a.kv.num_kv_heads != 1 || a.kv.head_dim > kLatentEach * 32) {
    return cudaErrorNotSupported;
  }
  const dim3 grid(static_cast<unsigned>(ceil_div(a.table.max_blocks, kWarps)), static_cast<unsigned>(a.num_requests));
  weigh_latents_kernel<<<grid, kWarps * 32, 0, stream>>>(a);
  return cudaGetLastError();
}

cudaError_t reduce(const MeasureRecall& a, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(a.num_requests * a.kv.num_kv_heads);
  const auto words = static_cast<std::size_t>(a.table.max_blocks + ceil_div(a.table.max_blocks, 32));
  const std::size_t shared_bytes = words * sizeof(unsigned);
  const cudaError_t error = cudaFuncSetAttribute(reduce_row_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 static_cast<int>(shared_bytes));
  if (error != cudaSuccess) { return error; }
  reduce_row_kernel<<<rows, kThreads, shared_bytes, stream>>>(a);
  return cudaGetLastError();
}

bool valid(const MeasureRecall& a) {
  const bool pointers = a.q && a.kv.k && a.table.pages && a.table.lengths && a.selection.blocks && a.selection.counts &&
                        a.workspace && a.sums;
  const bool heads = a.kv.num_kv_heads > 0 && a.num_q_heads > 0 && a.num_q_heads % a.kv.num_kv_heads == 0;
  const bool sizes = a.num_requests >= 0 && a.num_requests * a.kv.num_kv_heads <= 65535 && a.kv.block > 0 &&
                     a.kv.block % 16 == 0 && a.table.max_blocks > 0 && a.table.max_blocks <= kMaxSelectableBlocks &&
                     a.selection.max_selected > 0 && a.reserved_first >= 0 && a.reserved_last >= 0;
  return pointers && heads && sizes;
}

}  // namespace

cudaError_t measure_recall(const MeasureRecall& args, cudaStream_t stream) {
  if (!valid(args)) { return cudaErrorInvalidValue; }
  if (args.num_requests == 0) { return cudaSuccess; }
  const cudaError_t weighed = weigh(args, stream);
  return weighed == cudaSuccess ? reduce(args, stream) : weighed;
}

}  // namespace vortex::cuda
