// Latent attention on the tensor cores (PTX mma.m16n8k16), with tokens, then latent elements, as the 16 rows of a
// product and query heads as its 8 columns: S^T = K Q^T, O^T = V^T P^T. Every token is read from shared memory once
// for its scores and once for its value, however many heads there are.
//
// Shape, 512 + 64 elements and 24 heads: K tile [32 tokens][576], Q^T [576][24] in registers, O^T [512][24] in
// registers. One warp copies token by token (a row of 1,152 bytes each, so pages of any size serve) into a ring of
// tiles in shared memory; eight warps compute. For the scores a warp takes half of a tile's tokens and a quarter of
// their elements; the quarters meet in shared memory, where the softmax is taken. For the output a warp takes an eighth
// of the latent. Scores of tile i + 1 are computed beside the softmax of tile i, so that a tile costs one barrier.
// Thread blocks of a cluster share a row and merge through distributed shared memory.
// Heads as columns, as FlashMLA-ETAP (arXiv:2506.01969) has them; the softmax is FlashAttention-2's (arXiv:2307.08691).
#include "kernels/cuda/latent_plain.h"
#include "kernels/cuda/latent_task.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr int kWarps = 8;                   // that compute
constexpr int kComputing = kWarps * 32;     // threads
constexpr int kThreads = kComputing + 32;   // and the warp that copies
constexpr int kTokens = 32;                 // of a tile
constexpr int kUnit = 16;                   // tokens that lie side by side in any page
constexpr int kQuarters = 4;                // of a token's elements, for scores
constexpr int kStages = 5;                  // tiles of the ring
constexpr int kScoreStride = kTokens + 4;   // floats from head to head of the scores
constexpr int kWeightStride = kTokens + 8;  // bf16 from head to head of the weights
constexpr int kMaxCluster = 8;

template <int kRankOf, int kRopeOf, int kHeadsOf>
struct Shape {
  static constexpr int kRank = kRankOf;
  static constexpr int kDim = kRankOf + kRopeOf;
  static constexpr int kHeads = kHeadsOf;
  static constexpr int kStride = kDim + 8;  // elements from token to token: 8 of them lie in different banks
  static constexpr int kHeadTiles = kHeads / 8;
  static constexpr int kSteps = kDim / 16;
  static constexpr int kQuarterSteps = (kSteps + kQuarters - 1) / kQuarters;
  static constexpr int kColumns = kRank / kWarps;  // of the output, a warp
  static constexpr int kColumnTiles = kColumns / 16;
  static constexpr int kPartialStride = kRank + 4;
  static constexpr unsigned kTokenBytes = kDim * sizeof(Bf16);
  static constexpr int kTileElements = kTokens * kStride;
  static constexpr int kScores = kQuarters * kHeads * kScoreStride;  // floats of a tile
  static constexpr int kWeights = kHeads * kWeightStride;            // bf16 of a tile
  static constexpr int kRingBytes = kStages * kTileElements * static_cast<int>(sizeof(Bf16));
  static constexpr int kSharedBytes =
      kRingBytes + 2 * kScores * static_cast<int>(sizeof(float)) + 2 * kWeights * static_cast<int>(sizeof(Bf16));
  static_assert(kDim % 16 == 0 && kRank % (16 * kWarps) == 0 && kHeads % 8 == 0 && kHeads <= kMaxLatentHeads);
  static_assert(kHeads * kPartialStride * static_cast<int>(sizeof(float)) <= kRingBytes);
  static_assert(kSharedBytes <= 225 * 1024);
};

// What all threads of a block share.
template <class S>
struct Storage {
  unsigned char* base;
  __device__ __forceinline__ Bf16* tile(int stage) const {
    return reinterpret_cast<Bf16*>(base) + stage * S::kTileElements;
  }
  __device__ __forceinline__ float* scores(int i) const {
    return reinterpret_cast<float*>(base + S::kRingBytes) + i % 2 * S::kScores;
  }
  __device__ __forceinline__ Bf16* weights(int i) const {
    return reinterpret_cast<Bf16*>(base + S::kRingBytes + 2 * S::kScores * sizeof(float)) + i % 2 * S::kWeights;
  }
  __device__ __forceinline__ float* partial() const { return reinterpret_cast<float*>(base); }  // where the ring was
};

__device__ __forceinline__ void barrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

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

// The warp that copies: lane i brings token i of every tile. Tokens that do not exist become 0, since 0 * NaN is NaN.
template <class S>
__device__ __forceinline__ void copy_tiles(const LatentAttention& a, const LatentTask& task, const Storage<S>& shared,
                                           std::uint64_t* full, std::uint64_t* empty, int tiles, int first, int step) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const bool read_again = a.prompt || latent_parts(a.num_q_heads) > 1;
  const std::uint64_t policy = read_again ? evict_normal_policy() : evict_first_policy();
  UnitList units(a, task, first, step);
  int stage = 0;
  unsigned phase = 1;  // the ring is empty at first
  for (int i = 0; i < tiles; ++i) {
    const std::int64_t token = static_cast<std::int64_t>(units.at(i)) * kUnit + lane % kUnit;
    const int valid = min(kTokens, task.tokens - (first + i * step) * kTokens);
    barrier_wait(empty + stage, phase);
    Bf16* to = shared.tile(stage) + lane * S::kStride;
    if (lane >= valid) {
      for (int w = 0; w < S::kDim / 8; ++w) { reinterpret_cast<uint4*>(to)[w] = make_uint4(0, 0, 0, 0); }
    }
    __syncwarp();
    if (lane == 0) { barrier_expect(full + stage, static_cast<unsigned>(valid) * S::kTokenBytes); }
    __syncwarp();
    if (lane < valid) {
      bulk_load(to, static_cast<const Bf16*>(a.kv.k) + token * S::kDim, S::kTokenBytes, full + stage, policy);
    }
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
  }
}

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
        const int step = quarter_ * S::kQuarterSteps + s;
        const int head = n * 8 + lane_ / 4;
        const bool there = step < S::kSteps && head < task.rows;
        const Bf16* from = a.q + (task.first + head) * S::kDim + step * 16 + lane_ % 4 * 2;
        q_[s][n][0] = there ? *reinterpret_cast<const std::uint32_t*>(from) : 0U;
        q_[s][n][1] = there ? *reinterpret_cast<const std::uint32_t*>(from + 8) : 0U;
      }
    }
  }

  // This warp's share of the scores of tile i, whose tokens are in `tile`.
  __device__ __forceinline__ void score(int i, Bf16* tile) {
    float sums[S::kHeadTiles][4] = {};
    const Bf16* row = tile + (half_ * 16 + lane_ % 16) * S::kStride + lane_ / 16 * 8;
#pragma unroll
    for (int s = 0; s < S::kQuarterSteps; ++s) {
      const int step = quarter_ * S::kQuarterSteps + s;
      if (step >= S::kSteps) { break; }
      std::uint32_t k[4];
      load_matrices(k, row + step * 16);
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
  __device__ __forceinline__ void accumulate(int i, Bf16* tile, const float (&corrections)[2][kMaxLatentHeads]) {
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
    const Bf16* row = tile + (lane_ / 16 * 8 + lane_ % 8) * S::kStride + warp_ * S::kColumns + lane_ / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k) {
#pragma unroll
      for (int m = 0; m < S::kColumnTiles; ++m) {
        std::uint32_t v[4];
        load_matrices_transposed(v, row + k * 16 * S::kStride + m * 16);
#pragma unroll
        for (int n = 0; n < S::kHeadTiles; ++n) { multiply(out_[m][n], v, weights[n][2 * k], weights[n][2 * k + 1]); }
      }
    }
  }

  // Leaves [head][element] sums where the ring was, and the maximum and denominator of each head.
  __device__ __forceinline__ void finish(float* maxima, float* sums) {
#pragma unroll
    for (int m = 0; m < S::kColumnTiles; ++m) {
#pragma unroll
      for (int n = 0; n < S::kHeadTiles; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int head = n * 8 + lane_ % 4 * 2 + j % 2;
          const int column = warp_ * S::kColumns + m * 16 + lane_ / 4 + j / 2 * 8;
          shared_.partial()[head * S::kPartialStride + column] = out_[m][n][j];
        }
      }
    }
    if (!softens_) { return; }
#pragma unroll
    for (int width = 1; width < 8; width *= 2) { sum_ += __shfl_xor_sync(kFullWarp, sum_, width); }
    if (lane_ % 8 == 0) {
      maxima[head_] = maximum_;
      sums[head_] = sum_;
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
                                              int tiles, int first, int step, float* maxima, float* sums) {
  __shared__ float corrections[2][kMaxLatentHeads];
  Computing<S> warp(a, task, shared);
  if (tiles > 0) {
    barrier_wait(full, 0);
    warp.score(0, shared.tile(0));
  }
  computing_barrier();
  int stage = 0;
  unsigned phase = 0;
  for (int i = 0; i < tiles; ++i) {
    const int this_stage = stage;
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
    if (i + 1 < tiles) {
      barrier_wait(full + stage, phase);
      warp.score(i + 1, shared.tile(stage));
    }
    warp.soften(i, (first + i * step) * kTokens, corrections);
    computing_barrier();
    warp.accumulate(i, shared.tile(this_stage), corrections);
    __syncwarp();
    if (threadIdx.x % 32 == 0) { barrier_arrive(empty + this_stage); }
  }
  computing_barrier();  // the ring is read no more
  warp.finish(maxima, sums);
}

__device__ __forceinline__ float4 load4_from_rank(const float* p, unsigned rank) {
  std::uint32_t remote;
  float4 x;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared_address(p)), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
               : "r"(remote)
               : "memory");
  return x;
}

// Merges the partial results of the cluster's blocks, each of which writes its share of the row.
template <class S>
__device__ __forceinline__ void merge_parts(const LatentAttention& a, const LatentTask& task, const float* partial,
                                            const float* maxima, const float* sums) {
  __shared__ float weights[kMaxCluster][kMaxLatentHeads];
  const unsigned ranks = cluster_size();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < task.rows) {
    float top = negative_infinity();
    for (unsigned rank = 0; rank < ranks; ++rank) { top = fmaxf(top, load_from_rank(maxima + thread, rank)); }
    float denominator = 0.0F;
    for (unsigned rank = 0; rank < ranks; ++rank) {
      const float maximum = load_from_rank(maxima + thread, rank);
      const float weight = maximum == negative_infinity() ? 0.0F : exp2_approx(maximum - top);
      weights[rank][thread] = weight;
      denominator = fmaf(weight, load_from_rank(sums + thread, rank), denominator);
    }
    const float inverse = denominator > 0.0F ? 1.0F / denominator : 0.0F;
    for (unsigned rank = 0; rank < ranks; ++rank) { weights[rank][thread] *= inverse; }
    if (a.lse != nullptr && cluster_rank() == 0) {
      a.lse[task.first + thread] = denominator > 0.0F ? (top + __log2f(denominator)) * kLn2 : negative_infinity();
    }
  }
  __syncthreads();
  constexpr int kWords = S::kRank / 4;  // of four floats
  for (int e = static_cast<int>(cluster_rank()) * kThreads + thread; e < task.rows * kWords;
       e += static_cast<int>(ranks) * kThreads) {
    const int head = e / kWords;
    const float* from = partial + head * S::kPartialStride + e % kWords * 4;
    float4 sum = make_float4(0.0F, 0.0F, 0.0F, 0.0F);
    for (unsigned rank = 0; rank < ranks; ++rank) {
      const float weight = weights[rank][head];
      const float4 x = load4_from_rank(from, rank);
      sum.x = fmaf(weight, x.x, sum.x);
      sum.y = fmaf(weight, x.y, sum.y);
      sum.z = fmaf(weight, x.z, sum.z);
      sum.w = fmaf(weight, x.w, sum.w);
    }
    *reinterpret_cast<uint2*>(a.out + (task.first + head) * S::kRank + e % kWords * 4) =
        make_uint2(pack(sum.x, sum.y), pack(sum.z, sum.w));
  }
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1) latent_attention_kernel(const LatentAttention a) {
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t full[kStages];
  __shared__ std::uint64_t empty[kStages];
  __shared__ float maxima[kMaxLatentHeads];
  __shared__ float sums[kMaxLatentHeads];
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, kWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();
  const int step = static_cast<int>(cluster_size());
  const int first = static_cast<int>(cluster_rank());
  const int unit = static_cast<int>(blockIdx.x) / step;
  allow_successor();
  LatentTask task;
  if (a.prompt) {  // the longest rows start first
    wait_for_predecessors();
    task = prompt_task(a, static_cast<int>(gridDim.x) / step - 1 - unit, S::kHeads);
  } else {
    int length = 0;
    task = start_decode_task(a, unit, length);
    wait_for_predecessors();
    finish_decode_task(a, length, task);
  }
  const int all_tiles = ceil_div(task.tokens, kTokens);
  const int tiles = all_tiles > first ? (all_tiles - first - 1) / step + 1 : 0;
  const Storage<S> shared{storage};
  if (static_cast<int>(threadIdx.x) < kComputing) {
    compute_tiles(a, task, shared, full, empty, tiles, first, step, maxima, sums);
  } else {
    copy_tiles(a, task, shared, full, empty, tiles, first, step);
  }
  __syncwarp();
  cluster_barrier();
  merge_parts<S>(a, task, shared.partial(), maxima, sums);
  cluster_barrier();  // a block must not leave while others read its shared memory
}

template <class S>
cudaError_t launch(const LatentAttention& a, int units, int cluster, cudaStream_t stream) {
  const auto kernel = latent_attention_kernel<S>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSharedBytes);
  if (error != cudaSuccess) { return error; }
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;  // as launch_early()
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(units * cluster));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<std::size_t>(S::kSharedBytes);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, a);
}

template <int kRank, int kRope>
cudaError_t launch_heads(const LatentAttention& a, const LatentSchedule& schedule, cudaStream_t stream) {
  if (a.prompt) {
    const int units =
        static_cast<int>((static_cast<std::int64_t>(a.rows) * a.num_q_heads + kMaxLatentHeads - 1) / kMaxLatentHeads);
    return launch<Shape<kRank, kRope, kMaxLatentHeads>>(a, units, 1, stream);
  }
  const int units = a.rows * latent_parts(a.num_q_heads);
  const int heads = latent_part_heads(a.num_q_heads);
  if (heads <= 16) { return launch<Shape<kRank, kRope, 16>>(a, units, schedule.cluster, stream); }
  if (heads <= 24) { return launch<Shape<kRank, kRope, 24>>(a, units, schedule.cluster, stream); }
  return launch<Shape<kRank, kRope, 32>>(a, units, schedule.cluster, stream);
}

bool valid(const LatentAttention& a, const LatentSchedule& s) {
  const bool pointers = a.q && a.out && a.kv.k && a.table.pages && (a.prompt || a.table.lengths);
  const bool selection =
      a.selection.blocks == nullptr || (!a.prompt && a.selection.counts && a.selection.max_selected > 0);
  const bool shape = a.rows >= 0 && a.num_q_heads > 0 && a.kv.num_kv_heads == 1 && a.kv.block > 0 &&
                     a.kv.block % kUnit == 0 && a.value_dim > 0 && a.value_dim <= a.kv.head_dim &&
                     a.table.max_blocks > 0 && a.first >= 0;
  const bool schedule = s.cluster == 1 || s.cluster == 2 || s.cluster == 4 || s.cluster == kMaxCluster;
  return pointers && selection && shape && schedule;
}

}  // namespace

LatentSchedule plan_latent_attention(int rows, int num_q_heads, int num_sms) {
  LatentSchedule schedule{1};
  const int units = rows * latent_parts(num_q_heads);
  while (schedule.cluster < kMaxCluster && units * schedule.cluster * 2 <= num_sms) { schedule.cluster *= 2; }
  return schedule;
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
  if (args.value_dim == 256) { return launch_heads<256, 32>(args, schedule, stream); }
  if (args.kv.head_dim == 512) { return launch_heads<512, 0>(args, schedule, stream); }
  return launch_heads<512, 64>(args, schedule, stream);
}

}  // namespace vortex::cuda
