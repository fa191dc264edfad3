#include "kernels/cuda/attention.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr int kTile = 16;  // tokens a warp handles at a time
constexpr int kMaxWarps = 8;
constexpr int kMaxSlots = 16;
constexpr int kMaxHeads = 8;  // query heads of a thread block; their queries and sums live in registers

// How a warp covers one tile: each lane holds 8 dimensions of one token at a time. kGroup is 1 or even, so that
// reduce_scatter can halve the scores; a thread block with fewer heads computes more than it has, with queries of 0.
template <int kDim, int kGroup>
struct Shape {
  static constexpr int kLanes = kDim / 8;      // lanes that share a token
  static constexpr int kTokens = 32 / kLanes;  // tokens one warp-wide load covers
  static constexpr int kLoads = kTile / kTokens;
  static constexpr int kHeads = kGroup > 1 ? kGroup / 2 : 1;  // heads whose scores a lane holds after reduction
};

// The state of one warp: an online softmax over the tiles it has seen.
// After reduce_scatter, lane (h, r) (r = lane % kLanes, h = lane / kLanes) holds the scores of token
// (r / 2) * kTokens + h for heads (r % 2) * kHeads + i; with one head, lanes r and r ^ 1 hold the same.
template <class T, int kDim, int kGroup>
struct WarpState {
  using S = Shape<kDim, kGroup>;
  float q[kGroup][8];    // this lane's 8 dimensions, times scale * log2(e)
  float acc[kGroup][8];  // unnormalised output of this lane's dimensions and tokens
  float maximum[S::kHeads];
  float sum[S::kHeads];  // of this lane's tokens

  __device__ __forceinline__ void start(const Bf16* query, int heads, float scale, int lane) {
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
      load8(query + (g < heads ? g : 0) * kDim + (lane % S::kLanes) * 8, q[g]);
#pragma unroll
      for (int d = 0; d < 8; ++d) {
        q[g][d] *= g < heads ? scale : 0.0F;
        acc[g][d] = 0.0F;
      }
    }
#pragma unroll
    for (int i = 0; i < S::kHeads; ++i) {
      maximum[i] = negative_infinity();
      sum[i] = 0.0F;
    }
  }

  // Scores of the tile's tokens; those at `valid` and later are excluded whatever their keys hold.
  template <bool kMasked>
  __device__ __forceinline__ void score(const T* keys, int valid, int lane, float (&p)[S::kHeads]) {
    float s[S::kLoads * kGroup];
#pragma unroll
    for (int l = 0; l < S::kLoads; ++l) {
      float x[8];
      load8(keys + (l * 32 + lane) * 8, x);
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
        float dot = q[g][0] * x[0];
#pragma unroll
        for (int d = 1; d < 8; ++d) { dot = fmaf(q[g][d], x[d], dot); }
        s[l * kGroup + g] = dot;
      }
    }
    reduce_scatter<S::kLoads * kGroup, S::kLanes>(s, lane);
    const int token = (lane % S::kLanes) / 2 * S::kTokens + lane / S::kLanes;
#pragma unroll
    for (int i = 0; i < S::kHeads; ++i) { p[i] = kMasked && token >= valid ? negative_infinity() : s[i]; }
  }

  // Turns scores into weights relative to the running maximum, rescaling what was accumulated where it grew.
  __device__ __forceinline__ void soften(float (&p)[S::kHeads]) {
    float correction[S::kHeads];
    bool grew = false;
#pragma unroll
    for (int i = 0; i < S::kHeads; ++i) {
      float tile_max = p[i];
#pragma unroll
      for (int offset = 2; offset < 32; offset *= 2) {
        tile_max = fmaxf(tile_max, __shfl_xor_sync(kFullWarp, tile_max, offset));
      }
      const float larger = fmaxf(maximum[i], tile_max);
      grew = grew || larger > maximum[i];
      correction[i] = exp2_approx(maximum[i] - larger);
      maximum[i] = larger;
      p[i] = exp2_approx(p[i] - larger);
      sum[i] = fmaf(sum[i], correction[i], p[i]);
    }
    if (!__any_sync(kFullWarp, grew)) { return; }
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
      const float c = __shfl_sync(kFullWarp, correction[g % S::kHeads], g / S::kHeads, S::kLanes);
#pragma unroll
      for (int d = 0; d < 8; ++d) { acc[g][d] *= c; }
    }
  }

  template <bool kMasked>
  __device__ __forceinline__ void accumulate(const T* values, int valid, int lane, const float (&p)[S::kHeads]) {
#pragma unroll
    for (int l = 0; l < S::kLoads; ++l) {
      float x[8];
      load8(values + (l * 32 + lane) * 8, x);
      const bool skip = kMasked && l * S::kTokens + lane / S::kLanes >= valid;
#pragma unroll
      for (int d = 0; d < 8; ++d) { x[d] = skip ? 0.0F : x[d]; }
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
        const float weight = __shfl_sync(kFullWarp, p[g % S::kHeads], l * 2 + g / S::kHeads, S::kLanes);
#pragma unroll
        for (int d = 0; d < 8; ++d) { acc[g][d] = fmaf(weight, x[d], acc[g][d]); }
      }
    }
  }

  // Leaves [head][dim] sums in `partial`, and the maximum and denominator of each head.
  __device__ __forceinline__ void finish(float* partial, float* maxima, float* sums, int lane) {
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
#pragma unroll
      for (int d = 0; d < 8; ++d) {
#pragma unroll
        for (int offset = S::kLanes; offset < 32; offset *= 2) {
          acc[g][d] += __shfl_xor_sync(kFullWarp, acc[g][d], offset);
        }
      }
      if (lane < S::kLanes) {
        float4* to = reinterpret_cast<float4*>(partial + g * kDim + lane * 8);
        to[0] = make_float4(acc[g][0], acc[g][1], acc[g][2], acc[g][3]);
        to[1] = make_float4(acc[g][4], acc[g][5], acc[g][6], acc[g][7]);
      }
    }
#pragma unroll
    for (int i = 0; i < S::kHeads; ++i) {
#pragma unroll
      for (int offset = 2; offset < 32; offset *= 2) { sum[i] += __shfl_xor_sync(kFullWarp, sum[i], offset); }
      if (lane < kGroup / S::kHeads) {
        maxima[lane * S::kHeads + i] = maximum[i];
        sums[lane * S::kHeads + i] = sum[i];
      }
    }
  }
};

// The tiles of one warp, in order: where each lies in the pool. Lane i knows tile 32 * b + i of the current batch b;
// the next batch is fetched while the current one is in use.
class TileList {
 public:
  __device__ __forceinline__ TileList(const DecodeAttention& a, int request, int kv_head, int tiles, int first,
                                      int step)
      : pages_(a.table.pages + static_cast<std::int64_t>(request) * a.table.max_blocks),
        tiles_(tiles),
        step_(step),
        tile_(first + static_cast<int>(threadIdx.x % 32) * step),
        tiles_per_block_(a.kv.block / kTile),
        num_kv_heads_(a.kv.num_kv_heads),
        kv_head_(kv_head) {
    if (a.selection.blocks != nullptr) {
      const std::int64_t row = static_cast<std::int64_t>(request) * a.kv.num_kv_heads + kv_head;
      selected_ = a.selection.blocks + row * a.selection.max_selected;
    }
    next_ = fetch();
  }

  // The place of tile `index` of this warp, in tiles from the start of the pool. Called with index 0, 1, 2, ...
  __device__ __forceinline__ std::int32_t at(int index) {
    if (index % 32 == 0) {
      current_ = next_;
      tile_ += 32 * step_;
      next_ = fetch();
    }
    return __shfl_sync(kFullWarp, current_, index % 32);
  }

 private:
  __device__ __forceinline__ std::int32_t fetch() const {
    if (tile_ >= tiles_) { return 0; }
    const int visited = tile_ / tiles_per_block_;
    const int block = selected_ != nullptr ? selected_[visited] : visited;
    return (pages_[block] * num_kv_heads_ + kv_head_) * tiles_per_block_ + tile_ % tiles_per_block_;
  }

  const std::int32_t* pages_;
  const std::int32_t* selected_ = nullptr;
  int tiles_;
  int step_;
  int tile_;
  int tiles_per_block_;
  int num_kv_heads_;
  int kv_head_;
  std::int32_t current_ = 0;
  std::int32_t next_ = 0;
};

// A warp's ring of tiles in shared memory, filled by the copy engine: K of tile 0, V of tile 0, K of tile 1, ...
template <class T, int kDim>
class TileRing {
 public:
  static constexpr int kElements = kTile * kDim;
  static constexpr unsigned kBytes = kElements * sizeof(T);

  __device__ __forceinline__ TileRing(T* storage, std::uint64_t* barriers, int slots)
      : storage_(storage), barriers_(barriers), slots_(slots), policy_(evict_first_policy()) {
    if (threadIdx.x % 32 == 0) {
      for (int i = 0; i < slots; ++i) { barrier_init(barriers_ + i, 1); }
      barrier_init_fence();
    }
    __syncwarp();
  }

  // Starts loading a tile into the slot after the one filled last. All lanes must be done with what the slot held.
  __device__ __forceinline__ void fill(const T* tile) {
    if (threadIdx.x % 32 == 0) {
      barrier_expect(barriers_ + fill_slot_, kBytes);
      bulk_load(storage_ + fill_slot_ * kElements, tile, kBytes, barriers_ + fill_slot_, policy_);
    }
    fill_slot_ = fill_slot_ + 1 == slots_ ? 0 : fill_slot_ + 1;
  }

  // Waits for the tile after the one returned last.
  __device__ __forceinline__ const T* next() {
    barrier_wait(barriers_ + read_slot_, phase_);
    const T* tile = storage_ + read_slot_ * kElements;
    if (++read_slot_ == slots_) {
      read_slot_ = 0;
      phase_ ^= 1;
    }
    return tile;
  }

 private:
  T* storage_;
  std::uint64_t* barriers_;
  int slots_;
  std::uint64_t policy_;
  int fill_slot_ = 0;
  int read_slot_ = 0;
  unsigned phase_ = 0;
};

// Merges the partial results of all warps of the cluster; every block of the cluster writes its share of the row.
template <int kDim, int kGroup>
__device__ __forceinline__ void merge_row(const DecodeAttention& a, const float* partials, int partial_stride,
                                          const float (&maxima)[kMaxWarps][kGroup],
                                          const float (&sums)[kMaxWarps][kGroup], std::int64_t first_q_head,
                                          int heads) {
  const int warps = static_cast<int>(blockDim.x / 32);
  const unsigned ranks = cluster_size();
  const auto elements = static_cast<unsigned>(kDim * heads);
  for (unsigned e = cluster_rank() * blockDim.x + threadIdx.x; e < elements; e += ranks * blockDim.x) {
    const unsigned g = e / kDim;
    float top = negative_infinity();
    for (unsigned rank = 0; rank < ranks; ++rank) {
      for (int w = 0; w < warps; ++w) { top = fmaxf(top, load_from_rank(&maxima[w][g], rank)); }
    }
    float numerator = 0.0F;
    float denominator = 0.0F;
    if (top != negative_infinity()) {
      for (unsigned rank = 0; rank < ranks; ++rank) {
        for (int w = 0; w < warps; ++w) {
          const float weight = exp2_approx(load_from_rank(&maxima[w][g], rank) - top);
          numerator = fmaf(weight, load_from_rank(partials + w * partial_stride + e, rank), numerator);
          denominator = fmaf(weight, load_from_rank(&sums[w][g], rank), denominator);
        }
      }
    }
    const float inverse = denominator > 0.0F ? a.kv.v_scale / denominator : 0.0F;
    a.out[first_q_head * kDim + e] = __float2bfloat16_rn(numerator * inverse);
    if (a.lse != nullptr && e % kDim == 0) {
      a.lse[first_q_head + g] = denominator > 0.0F ? (top + __log2f(denominator)) * kLn2 : negative_infinity();
    }
  }
}

// Over how many thread blocks (or clusters) the query heads of a row are spread, and how many heads one takes.
__host__ __device__ __forceinline__ int parts_of(int group) { return ceil_div(group, kMaxHeads); }
__host__ __device__ __forceinline__ int heads_of_part(int group) { return ceil_div(group, parts_of(group)); }

template <class T, int kDim, int kGroup>
__global__ void __launch_bounds__(kMaxWarps * 32) decode_attention_kernel(const DecodeAttention a, int slots) {
  using Ring = TileRing<T, kDim>;
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t barriers[kMaxWarps][kMaxSlots];
  __shared__ float maxima[kMaxWarps][kGroup];
  __shared__ float sums[kMaxWarps][kGroup];

  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  const int unit = static_cast<int>(blockIdx.x / cluster_size());
  const int row = unit / parts_of(group);  // the parts of a row lie side by side: they share its tiles in L2
  const int first_head = unit % parts_of(group) * heads_of_part(group);
  const int heads = min(heads_of_part(group), group - first_head);
  const int request = row / a.kv.num_kv_heads;
  const int kv_head = row % a.kv.num_kv_heads;

  T* ring_storage = reinterpret_cast<T*>(storage) + warp * slots * Ring::kElements;
  Ring ring(ring_storage, barriers[warp], slots);
  allow_successor();
  const int length = a.table.lengths[request];
  wait_for_predecessors();
  const int blocks = ceil_div(length, a.kv.block);
  const int visited = a.selection.blocks != nullptr ? a.selection.counts[row] : blocks;
  const int last_tokens = length - (blocks - 1) * a.kv.block;
  const int tokens = length > 0 && visited > 0 ? (visited - 1) * a.kv.block + last_tokens : 0;
  const int tiles = ceil_div(tokens, kTile);

  const int step = static_cast<int>(cluster_size() * blockDim.x / 32);
  const int first = static_cast<int>(cluster_rank() * blockDim.x / 32) + warp;
  const int mine = tiles > first ? (tiles - first - 1) / step + 1 : 0;

  TileList list(a, request, kv_head, tiles, first, step);
  std::int64_t offset = 0;
  int filled = 0;
  const auto fill_next = [&] {
    if (filled >= 2 * mine) { return; }
    if (filled % 2 == 0) { offset = static_cast<std::int64_t>(list.at(filled / 2)) * Ring::kElements; }
    ring.fill(static_cast<const T*>(filled % 2 == 0 ? a.kv.k : a.kv.v) + offset);
    ++filled;
  };
  for (int i = 0; i < slots; ++i) { fill_next(); }

  const std::int64_t first_q_head = static_cast<std::int64_t>(row) * group + first_head;
  WarpState<T, kDim, kGroup> state;
  state.start(a.q + first_q_head * kDim, heads, a.scale * a.kv.k_scale * kLog2e, lane);

  for (int i = 0; i < mine; ++i) {
    const int valid = tokens - (first + i * step) * kTile;
    float p[Shape<kDim, kGroup>::kHeads];
    const T* keys = ring.next();
    if (valid >= kTile) {
      state.template score<false>(keys, valid, lane, p);
    } else {
      state.template score<true>(keys, valid, lane, p);
    }
    __syncwarp();
    fill_next();
    state.soften(p);
    const T* values = ring.next();
    if (valid >= kTile) {
      state.template accumulate<false>(values, valid, lane, p);
    } else {
      state.template accumulate<true>(values, valid, lane, p);
    }
    __syncwarp();
    fill_next();
  }

  state.finish(reinterpret_cast<float*>(ring_storage), maxima[warp], sums[warp], lane);
  cluster_barrier();
  const int partial_stride = slots * static_cast<int>(Ring::kBytes / sizeof(float));
  merge_row<kDim, kGroup>(a, reinterpret_cast<const float*>(storage), partial_stride, maxima, sums, first_q_head,
                          heads);
  cluster_barrier();  // a block must not leave while others read its shared memory
}

template <class T, int kDim, int kGroup>
cudaError_t launch(const DecodeAttention& a, const DecodeSchedule& schedule, cudaStream_t stream) {
  const auto kernel = decode_attention_kernel<T, kDim, kGroup>;
  const int ring_bytes = schedule.slots * static_cast<int>(TileRing<T, kDim>::kBytes);
  if (ring_bytes < kGroup * kDim * static_cast<int>(sizeof(float))) { return cudaErrorInvalidValue; }
  const int shared_bytes = schedule.warps * ring_bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error != cudaSuccess) { return error; }

  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(schedule.cluster), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;  // as launch_early()
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  const int parts = parts_of(a.num_q_heads / a.kv.num_kv_heads);
  config.gridDim = dim3(static_cast<unsigned>(a.num_requests * a.kv.num_kv_heads * parts * schedule.cluster));
  config.blockDim = dim3(static_cast<unsigned>(schedule.warps * 32));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, a, schedule.slots);
}

template <class T, int kDim>
cudaError_t launch_group(const DecodeAttention& a, const DecodeSchedule& schedule, cudaStream_t stream) {
  const int heads = heads_of_part(a.num_q_heads / a.kv.num_kv_heads);
  if (heads == 1) { return launch<T, kDim, 1>(a, schedule, stream); }
  if (heads == 2) { return launch<T, kDim, 2>(a, schedule, stream); }
  if (heads <= 4) { return launch<T, kDim, 4>(a, schedule, stream); }
  if (heads <= 6) { return launch<T, kDim, 6>(a, schedule, stream); }
  return launch<T, kDim, kMaxHeads>(a, schedule, stream);
}

bool valid(const DecodeAttention& a, const DecodeSchedule& s) {
  const bool pointers = a.q && a.out && a.kv.k && a.kv.v && a.table.pages && a.table.lengths;
  const bool selection = a.selection.blocks == nullptr || (a.selection.counts && a.selection.max_selected > 0);
  const bool shape = a.num_requests >= 0 && a.kv.num_kv_heads > 0 && a.num_q_heads > 0 &&
                     a.num_q_heads % a.kv.num_kv_heads == 0 && a.kv.block > 0 && a.kv.block % kTile == 0 &&
                     a.table.max_blocks > 0;
  const bool schedule = s.warps >= 1 && s.warps <= kMaxWarps && s.slots >= 2 && s.slots <= kMaxSlots &&
                        (s.cluster == 1 || s.cluster == 2 || s.cluster == 4 || s.cluster == 8);
  return pointers && selection && shape && schedule;
}

}  // namespace

DecodeSchedule plan_decode_attention(int rows, int max_blocks_visited, int num_sms) {
  DecodeSchedule schedule;
  while (schedule.cluster < 8 && rows * schedule.cluster * 2 <= num_sms &&
         max_blocks_visited >= 4 * schedule.cluster * schedule.warps) {
    schedule.cluster *= 2;
  }
  return schedule;
}

cudaError_t decode_attention(const DecodeAttention& args, const DecodeSchedule& schedule, cudaStream_t stream) {
  if (!valid(args, schedule)) { return cudaErrorInvalidValue; }
  if (args.num_requests == 0) { return cudaSuccess; }
  return dispatch(args.kv, [&]<class T, int kDim>() { return launch_group<T, kDim>(args, schedule, stream); });
}

}  // namespace vortex::cuda
