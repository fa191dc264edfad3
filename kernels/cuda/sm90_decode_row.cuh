// What a warp and a thread block do for one row of decode attention: tiles of 16 tokens by bulk copies into a ring of a
// warp's own, an online softmax in registers for every piece of the row, and the merge of what these came to. Shared by
// the kernel that attends and the one that selects as well.
#pragma once

#include "kernels/cuda/attention.h"
#include "kernels/cuda/row_pieces.h"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda::decode_row {

inline constexpr int kMaxSlots = 16;
inline constexpr int kMaxHeads = 8;  // query heads of a thread block; their queries and sums live in registers

// How a warp covers one tile: each lane holds 8 dimensions of one token at a time. kGroup is 1 or even, so that
// reduce_scatter can halve the scores; a thread block with fewer heads computes more than it has, with queries of 0.
template <int kDim, int kGroup>
struct Shape {
  static constexpr int kLanes = kDim / 8;      // lanes that share a token
  static constexpr int kTokens = 32 / kLanes;  // tokens one warp-wide load covers
  static constexpr int kLoads = kTile / kTokens;
  static constexpr int kHeads = kGroup > 1 ? kGroup / 2 : 1;  // heads whose scores a lane holds after reduction
};

// How the sums of two softmaxes over different tokens are put together. The arithmetic is spelt out: it must be the
// same bit for bit wherever it is compiled.
struct Weights {
  float top;
  float first;
  float second;
};

// `second_denominator` 0: the second one has no tokens, and changes nothing.
__device__ __forceinline__ Weights weigh(float first_top, float second_top, float second_denominator) {
  const bool nothing = second_denominator == 0.0F;
  const float top = nothing ? first_top : fmaxf(first_top, second_top);
  return {top, nothing ? 1.0F : exp2_approx(first_top - top), nothing ? 0.0F : exp2_approx(second_top - top)};
}
__device__ __forceinline__ float together(const Weights& w, float first, float second) {
  return fmaf(w.first, first, __fmul_rn(w.second, second));
}

// What one or more pieces of a row came to, over the lanes of a warp: a lane has kHeads heads, from first_head() on,
// and kDims dimensions of each, from first_dim() on.
template <int kDim, int kGroup>
struct LaneSums {
  static constexpr int kHeads = Shape<kDim, kGroup>::kHeads;
  static constexpr int kDims = kGroup > 1 ? kDim / 16 : kDim / 32;
  float values[kHeads][kDims];  // unnormalised
  float tops[kHeads];
  float denominators[kHeads];

  static __device__ __forceinline__ int first_head(int lane) { return kGroup > 1 ? lane / 16 * kHeads : 0; }
  static __device__ __forceinline__ int first_dim(int lane) {
    const int part = kGroup > 1 ? (kDim == 64 ? lane / 8 % 2 : 0)
                                : (kDim == 64 ? lane / 16 * 2 + lane / 8 % 2 : lane / 16);  // of this lane's 8
    return lane % Shape<kDim, kGroup>::kLanes * 8 + part * kDims;
  }

  // Puts `later` to it.
  __device__ __forceinline__ void add(const LaneSums& later) {
#pragma unroll
    for (int i = 0; i < kHeads; ++i) {
      const Weights w = weigh(tops[i], later.tops[i], later.denominators[i]);
      tops[i] = w.top;
      denominators[i] = together(w, denominators[i], later.denominators[i]);
#pragma unroll
      for (int d = 0; d < kDims; ++d) { values[i][d] = together(w, values[i][d], later.values[i][d]); }
    }
  }

  // Leaves [head][dim] sums in `partial`, and the maximum and denominator of each head.
  __device__ __forceinline__ void store(float* partial, float* maxima, float* sums, int lane) const {
#pragma unroll
    for (int i = 0; i < kHeads; ++i) {
      float* to = partial + (first_head(lane) + i) * kDim + first_dim(lane);
#pragma unroll
      for (int d = 0; d < kDims; d += 2) { *reinterpret_cast<float2*>(to + d) = {values[i][d], values[i][d + 1]}; }
      if (kGroup > 1 ? lane % 16 == 0 : lane == 0) {
        maxima[first_head(lane) + i] = tops[i];
        sums[first_head(lane) + i] = denominators[i];
      }
    }
  }
};

// One step of adding up over lanes: of kCount values this lane and the one `width` away each keep half, this one the
// first or, if `upper`, the second.
template <int kCount>
__device__ __forceinline__ void fold(const float (&x)[kCount], float (&kept)[kCount / 2], bool upper, int width) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) {
    const float send = upper ? x[i] : x[i + kCount / 2];
    kept[i] = (upper ? x[i + kCount / 2] : x[i]) + __shfl_xor_sync(kFullWarp, send, width);
  }
}

// The state of one warp: an online softmax over the tiles it has seen of a piece.
// After reduce_scatter, lane (h, r) (r = lane % kLanes, h = lane / kLanes) holds the scores of token
// (r / 2) * kTokens + h for heads (r % 2) * kHeads + i; with one head, lanes r and r ^ 1 hold the same.
template <class T, int kDim, int kGroup>
struct WarpState {
  using S = Shape<kDim, kGroup>;
  float q[kGroup][8];    // this lane's 8 dimensions, times scale * log2(e)
  float acc[kGroup][8];  // unnormalised output of this lane's dimensions and tokens
  float maximum[S::kHeads];
  float sum[S::kHeads];  // of this lane's tokens

  __device__ __forceinline__ void load_queries(const Bf16* query, int heads, float scale, int lane) {
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
      load8(query + (g < heads ? g : 0) * kDim + (lane % S::kLanes) * 8, q[g]);
#pragma unroll
      for (int d = 0; d < 8; ++d) { q[g][d] *= g < heads ? scale : 0.0F; }
    }
  }

  __device__ __forceinline__ void start() {
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
#pragma unroll
      for (int d = 0; d < 8; ++d) { acc[g][d] = 0.0F; }
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

  // Adds up what the lanes have of one piece.
  __device__ __forceinline__ LaneSums<kDim, kGroup> sum_up(int lane) {
    LaneSums<kDim, kGroup> sums;
    add_up_values(sums, lane);
#pragma unroll
    for (int i = 0; i < S::kHeads; ++i) {
#pragma unroll
      for (int offset = 2; offset < 32; offset *= 2) { sum[i] += __shfl_xor_sync(kFullWarp, sum[i], offset); }
      const int holder = kGroup > 1 ? lane / 16 : 0;  // of the heads that this lane keeps, among those of its token
      sums.tops[i] = __shfl_sync(kFullWarp, maximum[i], holder, S::kLanes);
      sums.denominators[i] = __shfl_sync(kFullWarp, sum[i], holder, S::kLanes);
    }
    return sums;
  }

 private:
  // Lanes that hold the same dimensions of other tokens are 16 and, with short heads, 8 apart.
  __device__ __forceinline__ void add_up_values(LaneSums<kDim, kGroup>& sums, int lane) const {
    constexpr int kDims = LaneSums<kDim, kGroup>::kDims;
    const bool upper = lane / 16 != 0;
#pragma unroll
    for (int i = 0; i < S::kHeads; ++i) {
      constexpr int kWide = kGroup > 1 ? 8 : 4;  // dimensions after the first step
      float kept[kWide];
      if constexpr (kGroup > 1) {
        float both[16];
#pragma unroll
        for (int d = 0; d < 8; ++d) {
          both[d] = acc[i][d];
          both[8 + d] = acc[i + S::kHeads][d];
        }
        fold(both, kept, upper, 16);
      } else {
        fold(acc[i], kept, upper, 16);
      }
      if constexpr (kDims < kWide) {
        fold(kept, sums.values[i], lane / 8 % 2 != 0, 8);
      } else {
#pragma unroll
        for (int d = 0; d < kDims; ++d) { sums.values[i][d] = kept[d]; }
      }
    }
  }
};

// The tiles of one warp, in order: where each lies in the pool. Lane i knows tile 32 * b + i of the current batch b;
// the next batch is fetched while the current one is in use.
class TileList {
 public:
  // `selected`: the blocks that the row attends to, or null: all.
  __device__ __forceinline__ TileList(const DecodeAttention& a, const std::int32_t* selected, int request, int kv_head,
                                      const WarpShare& share)
      : share_(share),
        pages_(a.table.pages + static_cast<std::int64_t>(request) * a.table.max_blocks),
        selected_(selected),
        index_(static_cast<int>(threadIdx.x % 32)),
        tiles_per_block_(a.kv.block / kTile),
        num_kv_heads_(a.kv.num_kv_heads),
        kv_head_(kv_head) {
    next_ = fetch();
  }

  // The place of tile `index` of this warp, in tiles from the start of the pool. Called with index 0, 1, 2, ...
  __device__ __forceinline__ std::int32_t at(int index) {
    if (index % 32 == 0) {
      current_ = next_;
      index_ += 32;
      next_ = fetch();
    }
    return __shfl_sync(kFullWarp, current_, index % 32);
  }

 private:
  __device__ __forceinline__ std::int32_t fetch() const {
    if (index_ >= share_.mine) { return 0; }
    const int tile = share_.tile(index_);
    const int visited = tile / tiles_per_block_;
    const int block = selected_ != nullptr ? selected_[visited] : visited;
    return (pages_[block] * num_kv_heads_ + kv_head_) * tiles_per_block_ + tile % tiles_per_block_;
  }

  const WarpShare& share_;
  const std::int32_t* pages_;
  const std::int32_t* selected_;
  int index_;
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

// Tokens that a row with `visited` blocks of a request of `length` tokens sees.
__device__ __forceinline__ int tokens_visited(int length, int block, int visited) {
  const int blocks = ceil_div(length, block);
  const int last_tokens = length - (blocks - 1) * block;
  return length > 0 && visited > 0 ? (visited - 1) * block + last_tokens : 0;
}

// The sums of a warp's pieces, put together as a tree while they come. What waits for its other half lies in local
// memory, which is touched between two pieces alone: registers are for the tiles.
template <int kDim, int kGroup>
class PieceTree {
 public:
  using Sums = LaneSums<kDim, kGroup>;

  // After piece i = 0, 1, ...: gives the tree's branch over all of them, if i + 1 is a power of two.
  __device__ __forceinline__ Sums add(int i, Sums sums) {
    int level = 0;
#pragma unroll 1
    for (; (i >> level & 1) != 0; ++level) {
      Sums whole = waiting_[level];
      whole.add(sums);
      sums = whole;
    }
    if (level < kLevels) { waiting_[level] = sums; }
    return sums;
  }

 private:
  static constexpr int kLevels = 3;
  static_assert(1 << kLevels == kMaxRanks);
  Sums waiting_[kLevels];
};

// A warp attends to its share, and leaves its sums in its part of the ring, [head][dim], and its statistics.
template <class T, int kDim, int kGroup>
__device__ __forceinline__ void attend_share(const DecodeAttention& a, const WarpShare& share, TileList list,
                                             TileRing<T, kDim>& ring, T* ring_storage, int slots, const Bf16* query,
                                             int heads, float (&maxima)[kGroup], float (&sums)[kGroup]) {
  using Ring = TileRing<T, kDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  std::int64_t offset = 0;
  int filled = 0;
  const auto fill_next = [&] {
    if (filled >= 2 * share.mine) { return; }
    if (filled % 2 == 0) { offset = static_cast<std::int64_t>(list.at(filled / 2)) * Ring::kElements; }
    ring.fill(static_cast<const T*>(filled % 2 == 0 ? a.kv.k : a.kv.v) + offset);
    ++filled;
  };
  for (int i = 0; i < slots; ++i) { fill_next(); }

  WarpState<T, kDim, kGroup> state;
  state.load_queries(query, heads, a.scale * a.kv.k_scale * kLog2e, lane);
  PieceTree<kDim, kGroup> tree;
  LaneSums<kDim, kGroup> total;
  const int pieces = share.mine > 0 ? share.pieces : 1;  // a tree of nothing is nothing
#pragma unroll 1
  for (int piece = 0; piece < pieces; ++piece) {
    state.start();
    int tile = share.first(piece);
#pragma unroll 1
    for (int left = share.count(piece); left > 0; --left, tile += share.stride) {
      const int valid = share.tokens - tile * kTile;
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
    total = tree.add(piece, state.sum_up(lane));
  }
  total.store(reinterpret_cast<float*>(ring_storage), maxima, sums, lane);
}

// The statistics of a row's heads, a set a warp of a thread block.
template <int kGroup>
struct WarpStatistics {
  float tops[kMaxWarps][kGroup];
  float denominators[kMaxWarps][kGroup];
};

// Of this thread block's share of the row's elements, from `first` on, puts together what the warps of one number have
// in the kRanks blocks of the cluster, for all warps: in place of what the own warps had, which nobody else reads.
template <int kRanks, int kDim, int kGroup>
__device__ __forceinline__ void merge_ranks(float* partials, int partial_stride, const WarpStatistics<kGroup>& own,
                                            WarpStatistics<kGroup>& merged, int warps, int first, int share) {
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < share * warps; i += static_cast<int>(blockDim.x)) {
    const int w = i / share;
    const int e = first + i % share;
    const int g = e / kDim;
    float values[kRanks];
    float tops[kRanks];
    float denominators[kRanks];
#pragma unroll
    for (int r = 0; r < kRanks; ++r) {
      values[r] = load_from_rank(partials + w * partial_stride + e, static_cast<unsigned>(r));
      tops[r] = load_from_rank(&own.tops[w][g], static_cast<unsigned>(r));
      denominators[r] = load_from_rank(&own.denominators[w][g], static_cast<unsigned>(r));
    }
#pragma unroll
    for (int half = kRanks / 2; half > 0; half /= 2) {
#pragma unroll
      for (int r = 0; r < half; ++r) {
        const Weights weights = weigh(tops[r], tops[r + half], denominators[r + half]);
        tops[r] = weights.top;
        values[r] = together(weights, values[r], values[r + half]);
        denominators[r] = together(weights, denominators[r], denominators[r + half]);
      }
    }
    partials[w * partial_stride + e] = values[0];
    if (e % kDim == 0 || e == first) {
      merged.tops[w][g] = tops[0];
      merged.denominators[w][g] = denominators[0];
    }
  }
}

__device__ __forceinline__ void write_output(const DecodeAttention& a, std::int64_t first_q_head, int dim, int element,
                                             float top, float numerator, float denominator) {
  const float inverse = denominator > 0.0F ? a.kv.v_scale / denominator : 0.0F;
  a.out[first_q_head * dim + element] = __float2bfloat16_rn(numerator * inverse);
  if (a.lse != nullptr && element % dim == 0) {
    a.lse[first_q_head + element / dim] =
        denominator > 0.0F ? (top + __log2f(denominator)) * kLn2 : negative_infinity();
  }
}

// Puts together what this block's warps have of `count` elements of the row from `first` on, in order, and writes them.
template <int kDim, int kGroup>
__device__ __forceinline__ void merge_warps(const DecodeAttention& a, const float* partials, int partial_stride,
                                            const WarpStatistics<kGroup>& statistics, int warps,
                                            std::int64_t first_q_head, int first, int count) {
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    const int e = first + i;
    const int g = e / kDim;
    float top = negative_infinity();
#pragma unroll 8
    for (int w = 0; w < warps; ++w) { top = fmaxf(top, statistics.tops[w][g]); }
    float numerator = 0.0F;
    float denominator = 0.0F;
    if (top != negative_infinity()) {
#pragma unroll 8
      for (int w = 0; w < warps; ++w) {
        const float weight = exp2_approx(statistics.tops[w][g] - top);
        numerator = fmaf(weight, partials[w * partial_stride + e], numerator);
        denominator = fmaf(weight, statistics.denominators[w][g], denominator);
      }
    }
    write_output(a, first_q_head, kDim, e, top, numerator, denominator);
  }
}

// Merges what all warps of the cluster have; every block of it writes its share of the row. `own` are the statistics
// that the warps left, `merged` is room for more. All threads call it when their warp has attended, and may leave
// afterwards.
template <int kDim, int kGroup>
__device__ __forceinline__ void merge_row(const DecodeAttention& a, float* partials, int partial_stride,
                                          const WarpStatistics<kGroup>& own, WarpStatistics<kGroup>& merged, int warps,
                                          std::int64_t first_q_head, int heads) {
  const auto ranks = static_cast<int>(cluster_size());
  if (ranks == 1) {
    __syncthreads();
    merge_warps<kDim, kGroup>(a, partials, partial_stride, own, warps, first_q_head, 0, kDim * heads);
    return;
  }
  const int share = kDim * heads / ranks;
  const int first = static_cast<int>(cluster_rank()) * share;
  cluster_barrier();
  if (ranks == 2) {
    merge_ranks<2, kDim, kGroup>(partials, partial_stride, own, merged, warps, first, share);
  } else if (ranks == 4) {
    merge_ranks<4, kDim, kGroup>(partials, partial_stride, own, merged, warps, first, share);
  } else {
    merge_ranks<8, kDim, kGroup>(partials, partial_stride, own, merged, warps, first, share);
  }
  __syncthreads();
  cluster_arrive();
  merge_warps<kDim, kGroup>(a, partials, partial_stride, merged, warps, first_q_head, first, share);
  __syncwarp();
  cluster_wait();  // a block must not leave while others read its sums
}

// Over how many thread blocks (or clusters) the query heads of a row are spread, and how many heads one takes.
__host__ __device__ __forceinline__ int parts_of(int group) { return ceil_div(group, kMaxHeads); }
__host__ __device__ __forceinline__ int heads_of_part(int group) { return ceil_div(group, parts_of(group)); }

}  // namespace vortex::cuda::decode_row
