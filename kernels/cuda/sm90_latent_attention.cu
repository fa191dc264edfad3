// Latent attention on the tensor cores (PTX mma.m16n8k16), with tokens, then latent elements, as the 16 rows of a
// product and query heads as its 8 columns: S^T = K Q^T, O^T = V^T P^T. Every token is read from shared memory once
// for its scores and once for its value, however many heads there are.
//
// Shape, 512 + 64 elements and 24 heads: K tile [32 tokens][576], Q^T [576][24] in registers, O^T [512][24] in
// registers. One warp copies 16 tokens at a time, which lie side by side in a page of any size, into a ring of tiles in
// shared memory; eight warps compute. For the scores a warp takes half of a tile's tokens and a quarter of their
// elements; the quarters meet in shared memory, where the softmax is taken. For the output a warp takes an eighth of
// the latent. Scores of tile i + 1 are computed beside the softmax of tile i, so that a tile costs one barrier.
// A copy a token costs the warp that copies some 70 cycles each, more than all else does (docs/benchmarks/latent.md);
// latents that boxes of 16 tokens would lay on the same banks are copied so all the same.
// Thread blocks that share a row leave [head][512] sums in device memory for a second kernel.
// Heads as columns, as FlashMLA-ETAP (arXiv:2506.01969) has them; the softmax is FlashAttention-2's (arXiv:2307.08691).
#include <algorithm>

#include "kernels/cuda/latent_plain.h"
#include "kernels/cuda/latent_task.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/sm90_wgmma.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace vortex::cuda {
namespace {

constexpr int kWarps = 8;                   // that compute
constexpr int kComputing = kWarps * 32;     // threads
constexpr int kMergeThreads = 128;          // of the kernel that merges
constexpr int kThreads = kComputing + 32;   // and the warp that copies
constexpr int kTokens = 32;                 // of a tile
constexpr int kUnit = 16;                   // tokens that lie side by side in any page
constexpr int kQuarters = 4;                // of a token's steps of 16 elements, for scores: every fourth is a warp's
constexpr int kStages = 5;                  // tiles of the ring
constexpr int kScoreStride = kTokens + 4;   // floats from head to head of the scores
constexpr int kWeightStride = kTokens + 8;  // bf16 from head to head of the weights
constexpr std::size_t kAlignment = 1024;    // of what is swizzled
constexpr int kPoolTokens = 1 << 30;        // more than any pool has: what is not there is not asked for

template <int kRankOf, int kRopeOf, int kHeadsOf, bool kBoxesOf>
struct Shape {
  static constexpr int kRank = kRankOf;
  static constexpr int kDim = kRankOf + kRopeOf;
  static constexpr int kHeads = kHeadsOf;
  static constexpr bool kBoxes = kBoxesOf;  // are tiles copied in boxes of kUnit tokens?
  // Elements from token to token. 8 tokens' elements of a column must lie in different banks: by a gap, or in boxes by
  // the swizzle, whose lines of 128 bytes are an odd number a token.
  static constexpr int kStride = kBoxes ? kDim : kDim + 8;
  static constexpr int kHeadTiles = kHeads / 8;
  static constexpr int kSteps = kDim / 16;
  static constexpr int kQuarterSteps = (kSteps + kQuarters - 1) / kQuarters;
  static constexpr int kColumns = kRank / kWarps;  // of the output, a warp
  static constexpr int kColumnTiles = kColumns / 16;
  static constexpr unsigned kTokenBytes = kDim * sizeof(Bf16);
  static constexpr int kTileBytes = kTokens * kStride * static_cast<int>(sizeof(Bf16));
  static constexpr int kScores = kQuarters * kHeads * kScoreStride;  // floats of a tile
  static constexpr int kWeights = kHeads * kWeightStride;            // bf16 of a tile
  static constexpr int kRingBytes = kStages * kTileBytes;
  static constexpr int kSharedBytes = kRingBytes + 2 * kScores * static_cast<int>(sizeof(float)) +
                                      2 * kWeights * static_cast<int>(sizeof(Bf16)) + static_cast<int>(kAlignment);
  static_assert(kDim % 16 == 0 && kRank % (16 * kWarps) == 0 && kHeads % 8 == 0 && kHeads <= kMaxLatentHeads);
  static_assert(!kBoxes || (kDim % kMapColumns == 0 && kDim / kMapColumns % 2 == 1 && kTileBytes % kAlignment == 0 &&
                            kUnit * kTokenBytes % kAlignment == 0));
  static_assert(kSharedBytes <= 225 * 1024);

  // Bytes from the start of a tile to an element; 8 that begin with a multiple of 8 lie side by side.
  static __device__ __forceinline__ int at(int token, int column) {
    const int byte = (token * kStride + column) * static_cast<int>(sizeof(Bf16));
    return kBoxes ? byte ^ (byte >> 3 & 0x70) : byte;
  }
};

// What all threads of a block share.
template <class S>
struct Storage {
  unsigned char* base;
  __device__ __forceinline__ unsigned char* tile(int stage) const { return base + stage * S::kTileBytes; }
  __device__ __forceinline__ float* scores(int i) const {
    return reinterpret_cast<float*>(base + S::kRingBytes) + i % 2 * S::kScores;
  }
  __device__ __forceinline__ Bf16* weights(int i) const {
    return reinterpret_cast<Bf16*>(base + S::kRingBytes + 2 * S::kScores * sizeof(float)) + i % 2 * S::kWeights;
  }
};

// A barrier of the computing warps.
__device__ __forceinline__ void computing_barrier() { asm volatile("bar.sync 1, %0;" ::"n"(kComputing) : "memory"); }

__device__ __forceinline__ std::uint64_t evict_normal_policy() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// Where the tokens of this block's tiles lie, half a tile of them a unit: lane i knows unit 32 * b + i of the current
// batch b, and the next batch is fetched while the current one is in use. In units from the start of the pool.
class UnitList {
 public:
  __device__ __forceinline__ UnitList(const LatentAttention& a, const LatentTask& task, int first_tile, int step)
      : pages_(a.table.pages + static_cast<std::int64_t>(task.request) * a.table.max_blocks),
        tokens_(task.tokens),
        step_(step),
        units_per_block_(a.kv.block / kUnit) {
    if (a.selection.blocks != nullptr) {
      selected_ = a.selection.blocks + static_cast<std::int64_t>(task.request) * a.selection.max_selected;
    }
    const int lane = static_cast<int>(threadIdx.x % 32);
    tile_ = first_tile + lane / 2 * step;
    half_ = lane % 2;
    next_ = fetch();
  }

  // The unit that this lane's token of tile `index` of this block belongs to. Called with index 0, 1, 2, ...
  __device__ __forceinline__ std::int32_t at(int index) {
    if (index % 16 == 0) {
      current_ = next_;
      tile_ += 16 * step_;
      next_ = fetch();
    }
    return __shfl_sync(kFullWarp, current_, index % 16 * 2 + static_cast<int>(threadIdx.x % 32) / kUnit);
  }

 private:
  __device__ __forceinline__ std::int32_t fetch() const {
    const int unit = tile_ * (kTokens / kUnit) + half_;
    if (unit * kUnit >= tokens_) { return 0; }
    const int visited = unit / units_per_block_;
    const int block = selected_ != nullptr ? selected_[visited] : visited;
    return pages_[block] * units_per_block_ + unit % units_per_block_;
  }

  const std::int32_t* pages_;
  const std::int32_t* selected_ = nullptr;
  int tokens_;
  int step_;
  int units_per_block_;
  int tile_;
  int half_;
  std::int32_t current_ = 0;
  std::int32_t next_ = 0;
};

// Copies a tile's first `valid` tokens, of which this lane brings one. Those that do not exist become 0, since 0 * NaN
// is NaN.
template <class S>
__device__ __forceinline__ void copy_tokens(const LatentAttention& a, unsigned char* tile, std::int32_t unit, int valid,
                                            std::uint64_t* full, std::uint64_t policy) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  unsigned char* to = tile + S::at(lane, 0);
  if (lane >= valid) {
    for (int w = 0; w < S::kDim / 8; ++w) { reinterpret_cast<uint4*>(to)[w] = make_uint4(0, 0, 0, 0); }
  }
  __syncwarp();
  if (lane == 0) { barrier_expect(full, static_cast<unsigned>(valid) * S::kTokenBytes); }
  __syncwarp();
  if (lane < valid) {
    const std::int64_t token = static_cast<std::int64_t>(unit) * kUnit + lane % kUnit;
    bulk_load(to, static_cast<const Bf16*>(a.kv.k) + token * S::kDim, S::kTokenBytes, full, policy);
  }
}

// The same by whole units: the first lane of a unit brings it, with what lies behind the last token (clear_rest).
template <class S>
__device__ __forceinline__ void copy_boxes(const CUtensorMap* latents, unsigned char* tile, std::int32_t unit,
                                           int valid, std::uint64_t* full, std::uint64_t policy) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (lane == 0) { barrier_expect(full, static_cast<unsigned>(ceil_div(valid, kUnit) * kUnit) * S::kTokenBytes); }
  __syncwarp();
  if (lane % kUnit == 0 && lane < valid) {
    rows_load(tile + lane * static_cast<int>(S::kTokenBytes), latents, unit * kUnit, full, policy);
  }
}

// The warp that copies.
template <class S>
__device__ __forceinline__ void copy_tiles(const LatentAttention& a, const LatentTask& task, const CUtensorMap* latents,
                                           const Storage<S>& shared, std::uint64_t* full, std::uint64_t* empty,
                                           int tiles, int first, int step) {
  const bool read_again = a.prompt || latent_parts(a.num_q_heads) > 1;
  const std::uint64_t policy = read_again ? evict_normal_policy() : evict_first_policy();
  UnitList units(a, task, first, step);
  int stage = 0;
  unsigned phase = 1;  // the ring is empty at first
  for (int i = 0; i < tiles; ++i) {
    const std::int32_t unit = units.at(i);
    const int valid = min(kTokens, task.tokens - (first + i * step) * kTokens);
    barrier_wait(empty + stage, phase);
    if constexpr (S::kBoxes) {
      copy_boxes<S>(latents, shared.tile(stage), unit, valid, full + stage, policy);
    } else {
      copy_tokens<S>(a, shared.tile(stage), unit, valid, full + stage, policy);
    }
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
  }
}

// Of a tile that came in boxes, what lies behind its `valid` tokens becomes 0, since 0 * NaN is NaN. All that compute
// come here, for a block's last tile: nothing is copied to its place any more.
template <class S>
__device__ __forceinline__ void clear_rest(unsigned char* tile, int valid) {
  if (!S::kBoxes || valid >= kTokens) { return; }
  constexpr int kTokenWords = static_cast<int>(S::kTokenBytes / sizeof(uint4));
  uint4* words = reinterpret_cast<uint4*>(tile) + valid * kTokenWords;
  for (int w = static_cast<int>(threadIdx.x); w < (kTokens - valid) * kTokenWords; w += kComputing) {
    words[w] = make_uint4(0, 0, 0, 0);
  }
  computing_barrier();
}

// Where thread block `index` of the `count` that share a row leaves its part: [query row][part][element] sums, and
// behind them [query row][part] largest score and denominator.
struct Parts {
  int count;
  int index;
  float* workspace;
  std::int64_t rows;
  int rank;
  __device__ __forceinline__ float* sums(std::int64_t row) const { return workspace + (row * count + index) * rank; }
  __device__ __forceinline__ float2* statistics(std::int64_t row) const {
    return reinterpret_cast<float2*>(workspace + rows * count * rank) + row * count + index;
  }
};

// A computing warp. In the fragments of mma.m16n8k16 a lane holds rows lane / 4 and lane / 4 + 8 of A and C, and
// columns lane % 4 * 2 and the next of C.
template <class S>
class Computing {
 public:
  __device__ __forceinline__ Computing(const LatentAttention& a, const LatentTask& task, const Storage<S>& shared)
      : shared_(shared),
        lane_(static_cast<int>(threadIdx.x % 32)),
        warp_(static_cast<int>(threadIdx.x / 32)),
        quarter_(warp_ % kQuarters),
        half_(warp_ / kQuarters),
        scale_(a.scale * kLog2e) {
    const int thread = static_cast<int>(threadIdx.x);
    softens_ = thread < S::kHeads * 8;
    head_ = thread / 8;
    seen_ = tokens_of_row(a, task, min(softens_ ? head_ : 0, task.rows - 1));
#pragma unroll
    for (int s = 0; s < S::kQuarterSteps; ++s) {
#pragma unroll
      for (int n = 0; n < S::kHeadTiles; ++n) {
        const int step = s * kQuarters + quarter_;
        const int head = n * 8 + lane_ / 4;
        const bool there = step < S::kSteps && head < task.rows;
        const Bf16* from = a.q + (task.first + head) * S::kDim + step * 16 + lane_ % 4 * 2;
        q_[s][n][0] = there ? *reinterpret_cast<const std::uint32_t*>(from) : 0U;
        q_[s][n][1] = there ? *reinterpret_cast<const std::uint32_t*>(from + 8) : 0U;
      }
    }
  }

  // This warp's share of the scores of tile i, whose tokens are in `tile`.
  __device__ __forceinline__ void score(int i, const unsigned char* tile) {
    float sums[S::kHeadTiles][4] = {};
#pragma unroll
    for (int s = 0; s < S::kQuarterSteps; ++s) {
      const int step = s * kQuarters + quarter_;
      if (step >= S::kSteps) { break; }
      std::uint32_t k[4];
      load_matrices(k, tile + S::at(half_ * 16 + lane_ % 16, step * 16 + lane_ / 16 * 8));
#pragma unroll
      for (int n = 0; n < S::kHeadTiles; ++n) { multiply(sums[n], k, q_[s][n][0], q_[s][n][1]); }
    }
    float* to = shared_.scores(i) + quarter_ * S::kHeads * kScoreStride + half_ * 16 + lane_ / 4;
#pragma unroll
    for (int n = 0; n < S::kHeadTiles; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) { to[(n * 8 + lane_ % 4 * 2 + j % 2) * kScoreStride + j / 2 * 8] = sums[n][j]; }
    }
  }

  // Turns scores of tile i, which begins with token `start`, into weights relative to the largest so far. Eight threads
  // share a head, four tokens each.
  __device__ __forceinline__ void soften(int i, int start, float (&corrections)[2][kMaxLatentHeads]) {
    if (!softens_) { return; }
    const int token = lane_ % 8 * 4;
    const float* from = shared_.scores(i) + head_ * kScoreStride + token;
    float x[4] = {};
#pragma unroll
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      const float4 part = *reinterpret_cast<const float4*>(from + quarter * S::kHeads * kScoreStride);
      x[0] += part.x;
      x[1] += part.y;
      x[2] += part.z;
      x[3] += part.w;
    }
    float larger = maximum_;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      x[j] = start + token + j < seen_ ? x[j] * scale_ : negative_infinity();
      larger = fmaxf(larger, x[j]);
    }
#pragma unroll
    for (int width = 1; width < 8; width *= 2) { larger = fmaxf(larger, __shfl_xor_sync(kFullWarp, larger, width)); }
    const float base = larger == negative_infinity() ? 0.0F : larger;
    const float correction = exp2_approx(maximum_ - base);
    maximum_ = larger;
    sum_ *= correction;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      x[j] = exp2_approx(x[j] - base);
      sum_ += x[j];
    }
    *reinterpret_cast<uint2*>(shared_.weights(i) + head_ * kWeightStride + token) =
        make_uint2(pack(x[0], x[1]), pack(x[2], x[3]));
    if (lane_ % 8 == 0) { corrections[i % 2][head_] = correction; }
  }

  // Adds the values of tile i.
  __device__ __forceinline__ void accumulate(int i, const unsigned char* tile,
                                             const float (&corrections)[2][kMaxLatentHeads]) {
    std::uint32_t weights[S::kHeadTiles][4];
#pragma unroll
    for (int n = 0; n < S::kHeadTiles; ++n) {
      load_matrices(weights[n], shared_.weights(i) + (n * 8 + lane_ % 8) * kWeightStride + lane_ / 8 * 8);
      const float2 c = *reinterpret_cast<const float2*>(&corrections[i % 2][n * 8 + lane_ % 4 * 2]);
#pragma unroll
      for (int m = 0; m < S::kColumnTiles; ++m) {
        out_[m][n][0] *= c.x;
        out_[m][n][1] *= c.y;
        out_[m][n][2] *= c.x;
        out_[m][n][3] *= c.y;
      }
    }
    const int token = lane_ / 16 * 8 + lane_ % 8;
    const int column = warp_ * S::kColumns + lane_ / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k) {
#pragma unroll
      for (int m = 0; m < S::kColumnTiles; ++m) {
        std::uint32_t v[4];
        load_matrices_transposed(v, tile + S::at(k * 16 + token, column + m * 16));
#pragma unroll
        for (int n = 0; n < S::kHeadTiles; ++n) { multiply(out_[m][n], v, weights[n][2 * k], weights[n][2 * k + 1]); }
      }
    }
  }

  // Leaves what this block has of its rows: out itself where it is the only one, else its part of the workspace.
  __device__ __forceinline__ void finish(const LatentAttention& a, const LatentTask& task, const Parts& parts,
                                         int tiles, float (&inverses)[kMaxLatentHeads]) {
    if (softens_) {
#pragma unroll
      for (int width = 1; width < 8; width *= 2) { sum_ += __shfl_xor_sync(kFullWarp, sum_, width); }
      if (lane_ % 8 == 0 && head_ < task.rows) {
        inverses[head_] = sum_ > 0.0F ? 1.0F / sum_ : 0.0F;
        if (parts.count > 1) {
          *parts.statistics(task.first + head_) = make_float2(maximum_, sum_);
        } else if (a.lse != nullptr) {
          a.lse[task.first + head_] = sum_ > 0.0F ? (maximum_ + __log2f(sum_)) * kLn2 : negative_infinity();
        }
      }
    }
    if (parts.count > 1 && tiles == 0) { return; }  // a denominator of 0 says so
    computing_barrier();
#pragma unroll
    for (int n = 0; n < S::kHeadTiles; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int head = n * 8 + lane_ % 4 * 2 + j;
        if (head >= task.rows) { continue; }
        const int column = warp_ * S::kColumns + lane_ / 4;
        if (parts.count > 1) {
          float* to = parts.sums(task.first + head) + column;
#pragma unroll
          for (int m = 0; m < S::kColumnTiles; ++m) {
            to[m * 16] = out_[m][n][j];
            to[m * 16 + 8] = out_[m][n][j + 2];
          }
        } else {
          Bf16* to = a.out + (task.first + head) * S::kRank + column;
          const float inverse = inverses[head];
#pragma unroll
          for (int m = 0; m < S::kColumnTiles; ++m) {
            to[m * 16] = __float2bfloat16_rn(out_[m][n][j] * inverse);
            to[m * 16 + 8] = __float2bfloat16_rn(out_[m][n][j + 2] * inverse);
          }
        }
      }
    }
  }

 private:
  const Storage<S>& shared_;
  int lane_;
  int warp_;
  int quarter_;
  int half_;
  float scale_;
  bool softens_;  // has this thread a share in the softmax?
  int head_;      // whose
  int seen_;      // tokens that it sees
  float maximum_ = negative_infinity();
  float sum_ = 0.0F;  // of this thread's tokens
  std::uint32_t q_[S::kQuarterSteps][S::kHeadTiles][2];
  float out_[S::kColumnTiles][S::kHeadTiles][4] = {};
};

template <class S>
__device__ __forceinline__ void compute_tiles(const LatentAttention& a, const LatentTask& task,
                                              const Storage<S>& shared, std::uint64_t* full, std::uint64_t* empty,
                                              int tiles, const Parts& parts) {
  __shared__ float corrections[2][kMaxLatentHeads];
  __shared__ float inverses[kMaxLatentHeads];
  Computing<S> warp(a, task, shared);
  const auto first_token = [&](int tile) { return (parts.index + tile * parts.count) * kTokens; };
  const auto score = [&](int i, int stage, unsigned phase) {
    barrier_wait(full + stage, phase);
    clear_rest<S>(shared.tile(stage), task.tokens - first_token(i));
    warp.score(i, shared.tile(stage));
  };
  if (tiles > 0) { score(0, 0, 0); }
  computing_barrier();
  int stage = 0;
  unsigned phase = 0;
  for (int i = 0; i < tiles; ++i) {
    const int this_stage = stage;
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
    if (i + 1 < tiles) { score(i + 1, stage, phase); }
    warp.soften(i, first_token(i), corrections);
    computing_barrier();
    warp.accumulate(i, shared.tile(this_stage), corrections);
    __syncwarp();
    if (threadIdx.x % 32 == 0) { barrier_arrive(empty + this_stage); }
  }
  warp.finish(a, task, parts, tiles, inverses);
}

// Merges the parts of one query row; a thread takes four elements. All that it needs is asked for at once: a part
// without tokens has left nothing, and what is read of it is not used.
__global__ void __launch_bounds__(kMergeThreads) merge_latent_kernel(const LatentAttention a, Parts parts) {
  allow_successor();
  wait_for_predecessors();
  const std::int64_t row = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int column = static_cast<int>(threadIdx.x) * 4;
  const float2 mine = lane < parts.count ? parts.statistics(row)[lane] : make_float2(negative_infinity(), 0.0F);
  float4 sums[kMaxLatentParts];
#pragma unroll
  for (int i = 0; i < kMaxLatentParts; ++i) {
    const float* from = parts.sums(row) + static_cast<std::int64_t>(i) * a.value_dim + column;
    sums[i] = i < parts.count && column < a.value_dim ? *reinterpret_cast<const float4*>(from)
                                                      : make_float4(0.0F, 0.0F, 0.0F, 0.0F);
  }
  const float top = warp_max(mine.x);
  const float share = mine.y > 0.0F ? exp2_approx(mine.x - top) : 0.0F;
  float denominator = 0.0F;
#pragma unroll
  for (int i = 0; i < kMaxLatentParts; ++i) {
    denominator = fmaf(__shfl_sync(kFullWarp, share, i), __shfl_sync(kFullWarp, mine.y, i), denominator);
  }
  const float inverse = denominator > 0.0F ? 1.0F / denominator : 0.0F;
  if (a.lse != nullptr && threadIdx.x == 0) {
    a.lse[row] = denominator > 0.0F ? (top + __log2f(denominator)) * kLn2 : negative_infinity();
  }
  float4 out = make_float4(0.0F, 0.0F, 0.0F, 0.0F);
#pragma unroll
  for (int i = 0; i < kMaxLatentParts; ++i) {
    const float weight = __shfl_sync(kFullWarp, share, i) * inverse;
    if (weight > 0.0F) {
      out.x = fmaf(weight, sums[i].x, out.x);
      out.y = fmaf(weight, sums[i].y, out.y);
      out.z = fmaf(weight, sums[i].z, out.z);
      out.w = fmaf(weight, sums[i].w, out.w);
    }
  }
  if (column >= a.value_dim) { return; }
  *reinterpret_cast<uint2*>(a.out + row * a.value_dim + column) = make_uint2(pack(out.x, out.y), pack(out.z, out.w));
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    latent_attention_kernel(const __grid_constant__ CUtensorMap latents, const LatentAttention a, Parts parts) {
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t full[kStages];
  __shared__ std::uint64_t empty[kStages];
  if (threadIdx.x == 0) {
    if constexpr (S::kBoxes) { prefetch_map(&latents); }
    for (int i = 0; i < kStages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, kWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();
  const int unit = static_cast<int>(blockIdx.x) / parts.count;
  parts.index = static_cast<int>(blockIdx.x) % parts.count;
  allow_successor();
  LatentTask task;
  if (a.prompt) {  // the longest rows start first
    wait_for_predecessors();
    task = prompt_task(a, static_cast<int>(gridDim.x) - 1 - unit, S::kHeads);
  } else {
    int length = 0;
    task = start_decode_task(a, unit, length);
    wait_for_predecessors();
    finish_decode_task(a, length, task);
  }
  const int all_tiles = ceil_div(task.tokens, kTokens);
  const int tiles = all_tiles > parts.index ? (all_tiles - parts.index - 1) / parts.count + 1 : 0;
  const std::uint32_t misaligned = shared_address(storage) % kAlignment;
  const Storage<S> shared{storage + (misaligned == 0 ? 0 : kAlignment - misaligned)};
  if (static_cast<int>(threadIdx.x) < kComputing) {
    compute_tiles(a, task, shared, full, empty, tiles, parts);
  } else {
    copy_tiles(a, task, &latents, shared, full, empty, tiles, parts.index, parts.count);
  }
}

template <class S>
cudaError_t launch(const LatentAttention& a, int units, const LatentSchedule& schedule, cudaStream_t stream) {
  const auto kernel = latent_attention_kernel<S>;
  CUtensorMap latents{};
  cudaError_t error = cudaSuccess;
  if constexpr (S::kBoxes) { error = map_whole_rows(&latents, a.kv.k, kPoolTokens, S::kDim, kUnit); }
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSharedBytes);
  }
  if (error != cudaSuccess) { return error; }
  const Parts parts{schedule.parts, 0, schedule.workspace, static_cast<std::int64_t>(a.rows) * a.num_q_heads, S::kRank};
  const cudaError_t launched = launch_early(kernel, dim3(static_cast<unsigned>(units * parts.count)), kThreads,
                                            static_cast<std::size_t>(S::kSharedBytes), stream, latents, a, parts);
  if (launched != cudaSuccess || parts.count == 1) { return launched; }
  return launch_early(merge_latent_kernel, dim3(static_cast<unsigned>(parts.rows)), kMergeThreads, 0, stream, a, parts);
}

template <int kRank, int kRope, bool kBoxes>
cudaError_t launch_heads(const LatentAttention& a, const LatentSchedule& schedule, cudaStream_t stream) {
  if (a.prompt) {
    const int units =
        static_cast<int>((static_cast<std::int64_t>(a.rows) * a.num_q_heads + kMaxLatentHeads - 1) / kMaxLatentHeads);
    return launch<Shape<kRank, kRope, kMaxLatentHeads, kBoxes>>(a, units, {1, nullptr}, stream);
  }
  const int units = a.rows * latent_parts(a.num_q_heads);
  const int heads = latent_part_heads(a.num_q_heads);
  if (heads <= 16) { return launch<Shape<kRank, kRope, 16, kBoxes>>(a, units, schedule, stream); }
  if (heads <= 24) { return launch<Shape<kRank, kRope, 24, kBoxes>>(a, units, schedule, stream); }
  return launch<Shape<kRank, kRope, 32, kBoxes>>(a, units, schedule, stream);
}

bool valid(const LatentAttention& a, const LatentSchedule& s) {
  const bool pointers = a.q && a.out && a.kv.k && a.table.pages && (a.prompt || a.table.lengths);
  const bool selection =
      a.selection.blocks == nullptr || (!a.prompt && a.selection.counts && a.selection.max_selected > 0);
  const bool shape = a.rows >= 0 && a.num_q_heads > 0 && a.kv.num_kv_heads == 1 && a.kv.block > 0 &&
                     a.kv.block % kUnit == 0 && a.value_dim > 0 && a.value_dim <= a.kv.head_dim &&
                     a.table.max_blocks > 0 && a.first >= 0;
  const bool schedule =
      a.prompt || s.parts == 1 || (s.parts > 1 && s.parts <= kMaxLatentParts && s.workspace != nullptr);
  return pointers && selection && shape && schedule;
}

}  // namespace

int plan_latent_parts(int rows, int num_q_heads, int num_sms) {
  const int units = rows * latent_parts(num_q_heads);
  return std::clamp(num_sms / units, 1, kMaxLatentParts);
}

bool latent_attention_is_quick(const KvPool& kv, int value_dim) {
  const int rope = kv.head_dim - value_dim;
  return (value_dim == 512 && (rope == 64 || rope == 0)) || (value_dim == 256 && rope == 32);
}

cudaError_t latent_attention(const LatentAttention& args, const LatentSchedule& schedule, cudaStream_t stream) {
  if (!valid(args, schedule)) { return cudaErrorInvalidValue; }
  if (args.kv.type != KvType::bf16) { return cudaErrorNotSupported; }
  if (args.rows == 0) { return cudaSuccess; }
  if (!latent_attention_is_quick(args.kv, args.value_dim)) { return plain_latent_attention(args, stream); }
  if (args.value_dim == 256) { return launch_heads<256, 32, false>(args, schedule, stream); }
  if (args.kv.head_dim == 512) { return launch_heads<512, 0, false>(args, schedule, stream); }
  return schedule.copies == LatentCopies::boxes ? launch_heads<512, 64, true>(args, schedule, stream)
                                                : launch_heads<512, 64, false>(args, schedule, stream);
}

}  // namespace vortex::cuda
