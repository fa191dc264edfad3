// What a warp and a thread block do for one row of decode attention: tiles of 16 tokens by bulk copies into a ring of a
// warp's own, an online softmax in registers, and the merge of what the warps have. Shared by the kernel that attends
// and the one that selects as well.
#pragma once

#include "kernels/cuda/attention.h"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda::decode_row {

inline constexpr int kTile = 16;  // tokens a warp handles at a time
inline constexpr int kMaxWarps = 8;
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
  // `selected`: the blocks that the row attends to, or null: all.
  __device__ __forceinline__ TileList(const DecodeAttention& a, const std::int32_t* selected, int request, int kv_head,
                                      int tiles, int first, int step)
      : pages_(a.table.pages + static_cast<std::int64_t>(request) * a.table.max_blocks),
        selected_(selected),
        tiles_(tiles),
        step_(step),
        tile_(first + static_cast<int>(threadIdx.x % 32) * step),
        tiles_per_block_(a.kv.block / kTile),
        num_kv_heads_(a.kv.num_kv_heads),
        kv_head_(kv_head) {
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
  const std::int32_t* selected_;
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

// The tiles of one row that a warp takes: `mine` of them, from tile `first` on, every `step`-th.
struct WarpShare {
  int tokens;  // of the row
  int first;
  int step;
  int mine;
  __device__ __forceinline__ WarpShare(int tokens_of_row, int warp, int warps)
      : tokens(tokens_of_row), first(warp), step(warps), mine(0) {
    const int tiles = ceil_div(tokens, kTile);
    mine = tiles > first ? (tiles - first - 1) / step + 1 : 0;
  }
  __device__ __forceinline__ int tiles() const { return ceil_div(tokens, kTile); }
};

// Tokens that a row with `visited` blocks of a request of `length` tokens sees.
__device__ __forceinline__ int tokens_visited(int length, int block, int visited) {
  const int blocks = ceil_div(length, block);
  const int last_tokens = length - (blocks - 1) * block;
  return length > 0 && visited > 0 ? (visited - 1) * block + last_tokens : 0;
}

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
  state.start(query, heads, a.scale * a.kv.k_scale * kLog2e, lane);
  for (int i = 0; i < share.mine; ++i) {
    const int valid = share.tokens - (share.first + i * share.step) * kTile;
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
  state.finish(reinterpret_cast<float*>(ring_storage), maxima, sums, lane);
}

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

}  // namespace vortex::cuda::decode_row
