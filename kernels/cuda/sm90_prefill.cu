// Prompts on Hopper: a warp brings K and another one V, 128 tokens at a time, out of their pages (tensor copies, a box
// a 16 tokens, so that pages of any size serve), two warpgroups compute, 64 rows of one query head each. Scores of tile
// i + 1 are computed beside the weighted sum of tile i, whose weights stay in registers, and the softmax beside that
// sum, as FlashAttention-3 has it (arXiv:2407.08608). Tiles begin at multiples of 128 tokens and are taken in their
// order, and what is masked adds nothing: a row's bits do not depend on the rows around it.
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/prefill_order.h"
#include "kernels/cuda/prefill_paged.h"
#include "kernels/cuda/sm90_wgmma.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace vortex::cuda {
namespace {

constexpr int kGroupThreads = 128;
constexpr int kComputing = 2 * kGroupThreads;         // threads that compute,
constexpr int kThreads = kComputing + kGroupThreads;  // and the warpgroup whose first two warps copy
constexpr int kRows = 128;                            // of a thread block
constexpr int kTokens = 128;                          // of a tile
constexpr int kUnit = 16;                             // tokens that lie side by side in any page
constexpr int kUnits = kTokens / kUnit;
constexpr int kStages = 2;
constexpr float kSlack = 8.0F;      // of a score over the largest one before it, in powers of two
constexpr int kPoolRows = 1 << 30;  // more than any pool has: what is not there is not asked for

template <int kDim>
struct Tile {
  Bf16 halves[kDim / kMapColumns][kTokens][kMapColumns];
};

template <int kDim>
struct Shared {
  Tile<kDim> q;
  Tile<kDim> k[kStages];
  Tile<kDim> v[kStages];
  std::uint64_t q_full;
  std::uint64_t k_full[kStages];
  std::uint64_t k_empty[kStages];
  std::uint64_t v_full[kStages];
  std::uint64_t v_empty[kStages];
};

// c (+)= a b^T, a 64 rows and b 128 tokens, both 16 columns of a tile.
__device__ __forceinline__ void multiply_keys(float (&c)[16][4], std::uint64_t a, std::uint64_t b, bool adds) {
  asm volatile(
      "{.reg .pred adds; setp.ne.b32 adds, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, %64, %65, adds, 1, 1, 0, 0;}"
      : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]),
        "+f"(c[1][3]), "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]),
        "+f"(c[3][2]), "+f"(c[3][3]), "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]), "+f"(c[5][0]),
        "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]), "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]),
        "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3]), "+f"(c[8][0]), "+f"(c[8][1]), "+f"(c[8][2]),
        "+f"(c[8][3]), "+f"(c[9][0]), "+f"(c[9][1]), "+f"(c[9][2]), "+f"(c[9][3]), "+f"(c[10][0]), "+f"(c[10][1]),
        "+f"(c[10][2]), "+f"(c[10][3]), "+f"(c[11][0]), "+f"(c[11][1]), "+f"(c[11][2]), "+f"(c[11][3]), "+f"(c[12][0]),
        "+f"(c[12][1]), "+f"(c[12][2]), "+f"(c[12][3]), "+f"(c[13][0]), "+f"(c[13][1]), "+f"(c[13][2]), "+f"(c[13][3]),
        "+f"(c[14][0]), "+f"(c[14][1]), "+f"(c[14][2]), "+f"(c[14][3]), "+f"(c[15][0]), "+f"(c[15][1]), "+f"(c[15][2]),
        "+f"(c[15][3])
      : "l"(a), "l"(b), "r"(adds ? 1 : 0));
}

// c += a b for 16 tokens: a their weights for 64 rows, b their values, 64 or 128 columns, tokens outermost.
__device__ __forceinline__ void multiply_values(float (&c)[8][4], const std::uint32_t (&a)[4], std::uint64_t b) {
  asm volatile(
      "{.reg .pred adds; setp.ne.b32 adds, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
      "}, {%32, %33, %34, %35}, %36, adds, 1, 1, 1;}"
      : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]),
        "+f"(c[1][3]), "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]),
        "+f"(c[3][2]), "+f"(c[3][3]), "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]), "+f"(c[5][0]),
        "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]), "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]),
        "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
__device__ __forceinline__ void multiply_values(float (&c)[16][4], const std::uint32_t (&a)[4], std::uint64_t b) {
  asm volatile(
      "{.reg .pred adds; setp.ne.b32 adds, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, {%64, %65, %66, %67}, %68, adds, 1, 1, 1;}"
      : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]),
        "+f"(c[1][3]), "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]),
        "+f"(c[3][2]), "+f"(c[3][3]), "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]), "+f"(c[5][0]),
        "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]), "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]),
        "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3]), "+f"(c[8][0]), "+f"(c[8][1]), "+f"(c[8][2]),
        "+f"(c[8][3]), "+f"(c[9][0]), "+f"(c[9][1]), "+f"(c[9][2]), "+f"(c[9][3]), "+f"(c[10][0]), "+f"(c[10][1]),
        "+f"(c[10][2]), "+f"(c[10][3]), "+f"(c[11][0]), "+f"(c[11][1]), "+f"(c[11][2]), "+f"(c[11][3]), "+f"(c[12][0]),
        "+f"(c[12][1]), "+f"(c[12][2]), "+f"(c[12][3]), "+f"(c[13][0]), "+f"(c[13][1]), "+f"(c[13][2]), "+f"(c[13][3]),
        "+f"(c[14][0]), "+f"(c[14][1]), "+f"(c[14][2]), "+f"(c[14][3]), "+f"(c[15][0]), "+f"(c[15][1]), "+f"(c[15][2]),
        "+f"(c[15][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

template <int kPending>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving what it does with registers over the asynchronous products that use them.
template <int kCount>
__device__ __forceinline__ void hold(float (&c)[kCount][4]) {
#pragma unroll
  for (auto& block : c) {
#pragma unroll
    for (float& x : block) { asm volatile("" : "+f"(x)::"memory"); }
  }
}

// A tile of V as the second product takes it: 64 columns side by side, 8 tokens 1024 bytes, the next 64 columns behind
// all tokens.
template <int kDim>
__device__ __forceinline__ std::uint64_t describe_values(const Tile<kDim>& tile) {
  constexpr std::uint64_t kSwizzle128 = 1;
  constexpr std::uint64_t kEightTokens = 1024 / 16;
  constexpr std::uint64_t kNextColumns = sizeof(tile.halves[0]) / 16;
  const std::uint64_t address = (shared_address(&tile) & 0x3ffffU) / 16;
  return kSwizzle128 << 62 | kEightTokens << 32 | kNextColumns << 16 | address;
}

// What both kinds of warps know of a thread block's rows.
struct Rows {
  int head;
  int kv_head;
  int first;   // of its rows, within the chunk
  int tokens;  // that its last row sees
  int tiles;
};

__device__ __forceinline__ Rows rows_of(const PrefillAttention& a) {
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  const PrefillPlace place =
      prefill_place(static_cast<int>(blockIdx.x), a.num_q_heads, ceil_div(a.rows, kRows), a.heads_together * group);
  Rows rows{};
  rows.head = place.head;
  rows.kv_head = place.head / group;
  rows.first = place.tile * kRows;
  rows.tokens = a.first + min(rows.first + kRows, a.rows);
  rows.tiles = ceil_div(rows.tokens, kTokens);
  return rows;
}

// A warp: lane i copies unit i % 8 of column half i / 8. The lanes of a warp start their copies one after the other,
// some 70 cycles each (by count of what the machine code does), so that K and V have a warp each.
template <int kDim>
class Copying {
 public:
  __device__ __forceinline__ Copying(const PrefillAttention& a, const Rows& rows)
      : a_(a), rows_(rows), lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ __forceinline__ void queries(const CUtensorMap* q, Shared<kDim>& shared) {
    constexpr int kHalves = kDim / kMapColumns;
    if (lane_ == 0) { barrier_expect(&shared.q_full, sizeof(shared.q)); }
    __syncwarp();
    if (lane_ < kHalves) {
      tensor_load(shared.q.halves[lane_], q, rows_.head * kDim + lane_ * kMapColumns, rows_.first, &shared.q_full,
                  evict_first_policy());
    }
  }

  // All tiles of K, or all of V.
  __device__ __forceinline__ void all(const CUtensorMap* map, Tile<kDim> (&stages)[kStages],
                                      std::uint64_t (&full)[kStages], std::uint64_t (&empty)[kStages]) {
    const std::uint64_t policy = evict_last_policy();
    int next = pool_row(0);
    for (int tile = 0; tile < rows_.tiles; ++tile) {
      const int stage = tile % kStages;
      const unsigned parity = static_cast<unsigned>(tile / kStages) & 1U;
      const int row = next;
      next = pool_row(tile + 1);
      barrier_wait(empty + stage, parity ^ 1U);
      one(stages[stage], map, row, full + stage, policy);
    }
  }

 private:
  // The row of the pool where this lane's unit begins. Of units behind the last token the last one's is taken again.
  __device__ __forceinline__ int pool_row(int tile) const {
    const int token = min(tile * kTokens + lane_ % kUnits * kUnit, (rows_.tokens - 1) / kUnit * kUnit);
    const int page = a_.pages[token / a_.kv.block];
    return (page * a_.kv.num_kv_heads + rows_.kv_head) * a_.kv.block + token % a_.kv.block;
  }

  __device__ __forceinline__ void one(Tile<kDim>& tile, const CUtensorMap* map, int row, std::uint64_t* full,
                                      std::uint64_t policy) {
    if (lane_ == 0) { barrier_expect(full, sizeof(tile)); }
    __syncwarp();
    const int half = lane_ / kUnits;
    if (half < kDim / kMapColumns) {
      tensor_load(tile.halves[half][lane_ % kUnits * kUnit], map, half * kMapColumns, row, full, policy);
    }
  }

  const PrefillAttention& a_;
  const Rows& rows_;
  int lane_;
};

// A warpgroup's 64 rows. A thread holds rows lane / 4 and lane / 4 + 8 of its warp's 16, and of every 8 columns two.
template <int kDim>
class Computing {
 public:
  __device__ __forceinline__ Computing(const PrefillAttention& a, const Rows& rows, Shared<kDim>& shared)
      : a_(a), rows_(rows), shared_(shared), lane_(static_cast<int>(threadIdx.x) % 32) {
    const int warp = static_cast<int>(threadIdx.x) / 32;  // of all that compute, 16 rows each
    group_row_ = warp / 4 * 64;
    row_ = rows.first + warp * 16 + lane_ / 4;
    scale_ = a.scale * a.kv.k_scale * kLog2e;
  }

  __device__ __forceinline__ void all() {
    float scores[kTokens / 8][4];
    barrier_wait(&shared_.q_full, 0);
    score(0, scores);
    wait_products<0>();
    hold(scores);
    release(shared_.k_empty);
    float unused[2];
    soften(0, scores, unused);
    keep(scores);
    if (group_row_ > 0 && rows_.tiles > 1) { pass_turn(); }
    for (int tile = 1; tile < rows_.tiles; ++tile) {
      wait_turn();
      score(tile, scores);
      add(tile - 1);
      if (group_row_ == 0 || tile + 1 < rows_.tiles) { pass_turn(); }
      wait_products<1>();
      hold(scores);
      release(shared_.k_empty + tile % kStages);
      float corrections[2];
      soften(tile, scores, corrections);
      wait_products<0>();
      hold(out_);
      release(shared_.v_empty + (tile - 1) % kStages);
      correct(corrections);
      keep(scores);
    }
    clear_beyond(rows_.tiles - 1);
    add(rows_.tiles - 1);
    wait_products<0>();
    hold(out_);
    write();
  }

 private:
  // The warpgroups start their products in turn, so that one multiplies while the other has its softmax.
  __device__ __forceinline__ void wait_turn() const {
    asm volatile("bar.sync %0, %1;" ::"r"(group_row_ == 0 ? 2 : 3), "n"(kComputing) : "memory");
  }
  __device__ __forceinline__ void pass_turn() const {
    asm volatile("bar.arrive %0, %1;" ::"r"(group_row_ == 0 ? 3 : 2), "n"(kComputing) : "memory");
  }

  static __device__ __forceinline__ unsigned parity(int tile) { return static_cast<unsigned>(tile / kStages) & 1U; }

  __device__ __forceinline__ void release(std::uint64_t* empty) const {
    if (lane_ == 0) { barrier_arrive(empty); }
  }

  // Starts Q K^T of a tile.
  __device__ __forceinline__ void score(int tile, float (&scores)[kTokens / 8][4]) {
    const int stage = tile % kStages;
    barrier_wait(shared_.k_full + stage, parity(tile));
    hold(scores);
    begin_multiplying();
#pragma unroll
    for (int half = 0; half < kDim / kMapColumns; ++half) {
      const std::uint64_t q = describe_tile(shared_.q.halves[half][group_row_]);
      const std::uint64_t k = describe_tile(shared_.k[stage].halves[half]);
#pragma unroll
      for (int step = 0; step < kMapColumns / 16; ++step) {
        multiply_keys(scores, q + step * kNextColumns16, k + step * kNextColumns16, half + step > 0);
      }
    }
    commit_multiplying();
  }

  // Starts adding the weighted values of a tile.
  __device__ __forceinline__ void add(int tile) {
    const int stage = tile % kStages;
    barrier_wait(shared_.v_full + stage, parity(tile));
    hold(out_);
    begin_multiplying();
    const std::uint64_t v = describe_values(shared_.v[stage]);
    constexpr std::uint64_t kNextTokens16 = kUnit * kMapBytes / 16;
#pragma unroll
    for (int step = 0; step < kTokens / 16; ++step) { multiply_values(out_, weights_[step], v + step * kNextTokens16); }
    commit_multiplying();
  }

  // From scores to weights relative to about the largest score so far; corrections of what was summed before.
  __device__ __forceinline__ void soften(int tile, float (&scores)[kTokens / 8][4], float (&corrections)[2]) {
    const int start = tile * kTokens;
    if (start + kTokens > a_.first + rows_.first + group_row_ + 1) {
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int token = start + n * 8 + lane_ % 4 * 2 + i % 2;
          if (token > a_.first + row_ + i / 2 * 8) { scores[n][i] = negative_infinity(); }
        }
      }
    }
    float shift[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float largest = maximum_[r];
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) { largest = fmaxf(largest, fmaxf(scores[n][2 * r], scores[n][2 * r + 1])); }
      largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, 2));
      // Weights may exceed 1 by so much that sums need seldom be corrected. Token 0 is in the first tile: it is finite.
      const float reference = (largest - maximum_[r]) * scale_ > kSlack ? largest : maximum_[r];
      corrections[r] = exp2_approx((maximum_[r] - reference) * scale_);
      maximum_[r] = reference;
      shift[r] = reference * scale_;
      sum_[r] *= corrections[r];
    }
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = exp2_approx(fmaf(scores[n][i], scale_, -shift[i / 2]));
        sum_[i / 2] += scores[n][i];
      }
    }
  }

  __device__ __forceinline__ void correct(const float (&corrections)[2]) {
    if (__all_sync(kFullWarp, corrections[0] == 1.0F && corrections[1] == 1.0F)) { return; }
#pragma unroll
    for (auto& block : out_) {
#pragma unroll
      for (int i = 0; i < 4; ++i) { block[i] *= corrections[i / 2]; }
    }
  }

  // The weights as the second product takes them.
  __device__ __forceinline__ void keep(const float (&scores)[kTokens / 8][4]) {
#pragma unroll
    for (int step = 0; step < kTokens / 16; ++step) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weights_[step][i] = pack(scores[2 * step + i / 2][i % 2 * 2], scores[2 * step + i / 2][i % 2 * 2 + 1]);
      }
    }
  }

  // The last tile's tokens that do not exist: their weights are 0, but what lies there may be NaN.
  __device__ __forceinline__ void clear_beyond(int tile) {
    const int there = rows_.tokens - tile * kTokens;
    if (there >= kTokens) { return; }
    const int stage = tile % kStages;
    barrier_wait(shared_.v_full + stage, parity(tile));
    constexpr int kWords = kMapBytes / 16;
    for (int i = static_cast<int>(threadIdx.x); i < (kTokens - there) * kWords; i += kComputing) {
#pragma unroll
      for (auto& half : shared_.v[stage].halves) { reinterpret_cast<uint4*>(half[there])[i] = make_uint4(0, 0, 0, 0); }
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    asm volatile("bar.sync 1, %0;" ::"n"(kComputing) : "memory");
  }

  __device__ __forceinline__ void write() {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sum_[r] += __shfl_xor_sync(kFullWarp, sum_[r], 1);
      sum_[r] += __shfl_xor_sync(kFullWarp, sum_[r], 2);
      const int row = row_ + r * 8;
      if (row >= a_.rows) { continue; }
      const float inverse = a_.kv.v_scale / sum_[r];
      Bf16* to = a_.out + (static_cast<std::int64_t>(row) * a_.num_q_heads + rows_.head) * kDim + lane_ % 4 * 2;
#pragma unroll
      for (int d = 0; d < kDim / 8; ++d) {
        *reinterpret_cast<std::uint32_t*>(to + d * 8) = pack(out_[d][2 * r] * inverse, out_[d][2 * r + 1] * inverse);
      }
    }
  }

  const PrefillAttention& a_;
  const Rows& rows_;
  Shared<kDim>& shared_;
  int lane_;
  int group_row_;  // the warpgroup's first of the thread block's rows
  int row_;        // this thread's first row of the chunk
  float scale_;
  float maximum_[2] = {negative_infinity(), negative_infinity()};
  float sum_[2] = {};
  float out_[kDim / 8][4] = {};
  std::uint32_t weights_[kTokens / 16][4];
};

template <int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    paged_prefill_kernel(const PrefillAttention a, const __grid_constant__ CUtensorMap q,
                         const __grid_constant__ CUtensorMap k, const __grid_constant__ CUtensorMap v) {
  extern __shared__ unsigned char storage[];
  auto& shared = *reinterpret_cast<Shared<kDim>*>((reinterpret_cast<std::uintptr_t>(storage) + 1023) / 1024 * 1024);
  if (threadIdx.x == 0) {
    barrier_init(&shared.q_full, 1);
    for (int i = 0; i < kStages; ++i) {
      barrier_init(shared.k_full + i, 1);
      barrier_init(shared.v_full + i, 1);
      barrier_init(shared.k_empty + i, kComputing / 32);
      barrier_init(shared.v_empty + i, kComputing / 32);
    }
    barrier_init_fence();
  }
  __syncthreads();
  const Rows rows = rows_of(a);
  if (static_cast<int>(threadIdx.x) >= kComputing) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    Copying<kDim> copying(a, rows);
    const int warp = (static_cast<int>(threadIdx.x) - kComputing) / 32;
    if (warp == 0) {
      copying.queries(&q, shared);
      copying.all(&k, shared.k, shared.k_full, shared.k_empty);
    } else if (warp == 1) {
      copying.all(&v, shared.v, shared.v_full, shared.v_empty);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    Computing<kDim>(a, rows, shared).all();
  }
}

template <int kDim>
cudaError_t launch(PrefillAttention a, cudaStream_t stream) {
  const std::int64_t head_bytes = std::int64_t{a.first + a.rows} * kDim * 2 * static_cast<std::int64_t>(sizeof(Bf16));
  if (a.heads_together <= 0) { a.heads_together = prefill_heads_together(head_bytes, a.kv.num_kv_heads); }
  CUtensorMap q;
  CUtensorMap k;
  CUtensorMap v;
  for (const cudaError_t error :
       {map_matrix(&q, a.q, false, a.rows, a.num_q_heads * kDim, kRows),
        map_matrix(&k, a.kv.k, false, kPoolRows, kDim, kUnit), map_matrix(&v, a.kv.v, false, kPoolRows, kDim, kUnit)}) {
    if (error != cudaSuccess) { return error; }
  }
  const auto kernel = paged_prefill_kernel<kDim>;
  constexpr int kBytes = static_cast<int>(sizeof(Shared<kDim>)) + 1024;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (error != cudaSuccess) { return error; }
  const auto blocks = static_cast<unsigned>(a.num_q_heads * ceil_div(a.rows, kRows));
  kernel<<<blocks, kThreads, kBytes, stream>>>(a, q, k, v);
  return cudaGetLastError();
}

}  // namespace

bool paged_prefill_takes(const PrefillAttention& args) {
  return args.kv.type == KvType::bf16 && (args.kv.head_dim == 64 || args.kv.head_dim == 128) &&
         args.kv.block % kUnit == 0;
}

cudaError_t paged_prefill(const PrefillAttention& args, cudaStream_t stream) {
  return args.kv.head_dim == 64 ? launch<64>(args, stream) : launch<128>(args, stream);
}

}  // namespace vortex::cuda
