// What a thread block of an expert layer's matrix products does.
//
// Warps of a block split k: warp w multiplies steps w, w + 8, ... of kDepth, and the sums are added in the order of the
// warps. What a warp adds, and in which order, is the same for every size of a tile and every number of rows.
//
// fp8 weights are widened to bf16, which loses nothing, on their way from shared memory to registers; a step of k is
// one block of scales wide, and its sums are scaled as they join those of the steps before.
#pragma once

#include "kernels/cuda/experts.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/sm90_wgmma.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace vortex::cuda::expert_products {

inline constexpr int kDepth = 2 * kMapColumns;  // of k, a stage
inline constexpr int kWarps = 8;                // that multiply; one more fetches
inline constexpr int kMultipliers = kWarps * 32;
inline constexpr int kThreads = kMultipliers + 32;
static_assert(kDepth == kScaleBlock);
inline constexpr std::size_t kAlignment = 1024;
inline constexpr std::size_t kSharedBytes = 227 * 1024 - kAlignment;

// One product of every tile: all but the weights.
struct Product {
  ExpertMlp mlp;
  bool gated = false;    // gate and up; else down
  int shared_tiles = 0;  // of the shared expert, which come first
  int shared_width = 0;  // outputs of one row: inner elements, or hidden
  int width = 0;
  const float* scales = nullptr;
  const float* shared_scales = nullptr;
};

// Weights of a stage in rows of 128 bytes: columns [0, 64) of all outputs, then columns [64, 128); of fp8 all columns
// together. Where the product is gated the first half of the outputs are gates.
template <int kOutputs, int kRows, bool kFp8>
struct Shared {
  static constexpr int kHalf = kOutputs / 2;
  static constexpr int kParts = kFp8 ? 1 : 2;
  static constexpr int kPitch = kDepth + (kFp8 ? 16 : 8);  // of a row of x, against bank conflicts
  struct Weights {
    unsigned char bytes[kParts][kOutputs][kMapBytes];
  };
  struct Rows {
    Bf16 values[kRows][kPitch];
  };
  using Sums = float[2][kWarps][kOutputs][8];  // of 8 rows, while the warps add them up; in turn
  static constexpr std::size_t kFixed = sizeof(Sums) + kMaxExpertTiles * sizeof(ExpertTile) + 1024;
  static constexpr int kFitting = static_cast<int>((kSharedBytes - kFixed) / (sizeof(Weights) + sizeof(Rows)));
  // A warp must find its steps in places that it alone has emptied: of others' it could not tell a step that has not
  // come yet from the one before, for a barrier tells odd phases from even ones and no more.
  static constexpr int kStages = kFitting / kWarps * kWarps;
  static_assert(kStages >= kWarps);
  Weights weights[kStages];
  Rows rows[kStages];
  Sums sums;
  std::uint64_t full[kStages];
  std::uint64_t empty[kStages];
  ExpertTile tiles[kMaxExpertTiles];
};

// Some outputs of some rows of one expert.
struct Item {
  bool shared = false;
  int first = 0;  // of the rows: row of x, or place in the order
  int rows = 0;
  int column = 0;  // first output
  int width = 0;   // outputs that the expert has
  int k = 0;
  int weight_row = 0;  // of all experts' outputs, of the first half of the item's and of the second
  int second_row = 0;
  __device__ __forceinline__ int steps() const { return ceil_div(k, kDepth); }
};

// e4m3 as bf16: exponents of another bias, put right by a product that is exact for small numbers, too.
__device__ __forceinline__ std::uint32_t widen2(std::uint32_t bytes, unsigned selector) {
  const std::uint32_t spread = __byte_perm(bytes, 0, selector);
  const std::uint32_t bits = (spread & 0x80008000U) | (spread >> 4 & 0x07f007f0U);
  const std::uint32_t factor = 0x7b807b80U;  // 2^120, twice
  std::uint32_t out;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(out) : "r"(bits), "r"(factor));
  return out;
}

template <int kOutputs, int kRows, bool kFp8>
class Block {
 public:
  using SharedT = Shared<kOutputs, kRows, kFp8>;

  __device__ __forceinline__ Block(const Product& p, const CUtensorMap* routed, const CUtensorMap* shared_map,
                                   SharedT& shared)
      : p_(p), routed_(routed), shared_map_(shared_map), shared_(shared) {
    per_item_ = p.gated ? kOutputs / 2 : kOutputs;
    shared_items_ = p.shared_tiles * ceil_div(p.shared_width, per_item_);
    items_of_tile_ = ceil_div(p.width, per_item_);
  }

  __device__ __forceinline__ void run() {
    if (threadIdx.x == 0) {
      for (int i = 0; i < kStages; ++i) {
        barrier_init(shared_.full + i, 1);
        barrier_init(shared_.empty + i, 1);
      }
      barrier_init_fence();
    }
    __syncthreads();
    const bool fetches = threadIdx.x >= kMultipliers;
    if (fetches) { fetch_early(); }
    wait_for_predecessors();
    const int tiles = *p_.mlp.plan.num_tiles;
    for (int i = static_cast<int>(threadIdx.x); i < tiles; i += kThreads) { shared_.tiles[i] = p_.mlp.plan.tiles[i]; }
    items_ = shared_items_ + tiles * items_of_tile_;
    __syncthreads();
    fetches ? fetch() : multiply_all();
  }

 private:
  static constexpr int kStages = SharedT::kStages;
  static constexpr int kHalf = SharedT::kHalf;
  static constexpr int kLaneRows = ceil_div(kRows, 32);  // of x, that a lane fetches
  static constexpr int kTiles = kOutputs / 16;
  static constexpr int kColumns = kRows / 8;

  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % 32; }
  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ __forceinline__ int slots() const { return p_.mlp.chosen + (p_.shared_tiles > 0 ? 1 : 0); }

  __device__ __forceinline__ Item item_at(int index) const {
    Item item;
    item.shared = index < shared_items_;
    if (item.shared) {
      const int in_tile = ceil_div(p_.shared_width, per_item_);
      item.first = index / in_tile * kRows;
      item.rows = min(kRows, p_.mlp.rows - item.first);
      item.column = index % in_tile * per_item_;
      item.width = p_.shared_width;
      item.weight_row = item.column;
    } else {
      index -= shared_items_;
      const ExpertTile tile = shared_.tiles[index / items_of_tile_];
      item.first = tile.first;
      item.rows = tile.rows;
      item.column = index % items_of_tile_ * per_item_;
      item.width = p_.width;
      item.weight_row = tile.expert * (p_.gated ? 2 * p_.width : p_.width) + item.column;
    }
    item.second_row = item.weight_row + (p_.gated ? item.width : kHalf);
    item.k = p_.gated ? p_.mlp.hidden : item.shared ? p_.mlp.shared_inner : p_.mlp.inner;
    return item;
  }

  // Inner elements of row `row` of an item.
  __device__ __forceinline__ Bf16* inner_row(const Item& item, int row) const {
    const std::int64_t place = item.first + row;
    if (item.shared) { return p_.mlp.inner_rows + place * p_.mlp.shared_inner; }
    const std::int64_t before = static_cast<std::int64_t>(p_.mlp.rows) * p_.mlp.shared_inner;
    return p_.mlp.inner_rows + before + place * p_.mlp.inner;
  }

  // ---- The warp that fetches.

  // A box for each half of the outputs, and of bf16 for each half of k. Of what lies behind k zeros come, but no whole
  // box.
  __device__ __forceinline__ void fetch_weights(const Item& item, int step, int slot, std::uint64_t policy) {
    const int from = step * kDepth;
    const int boxes = kFp8 || from + kMapColumns >= item.k ? 1 : 2;  // along k
    if (lane() == 0) {
      const int bytes = kOutputs * kMapBytes * boxes + item.rows * row_bytes(item, step);
      barrier_expect(shared_.full + slot, static_cast<unsigned>(bytes));
    }
    __syncwarp();
    const int half = lane() % 2;
    const int part = lane() / 2;
    if (part < boxes) {
      tensor_load(shared_.weights[slot].bytes[part][half * kHalf], item.shared ? shared_map_ : routed_,
                  from + part * kMapColumns, half == 0 ? item.weight_row : item.second_row, shared_.full + slot,
                  policy);
    }
  }

  static __device__ __forceinline__ int row_bytes(const Item& item, int step) {
    return min(kDepth, item.k - step * kDepth) * static_cast<int>(sizeof(Bf16));
  }

  // Which rows of x are this lane's of an item; loaded, and not looked at before the item is fetched.
  struct Pairs {
    int of_row[kLaneRows];
  };

  __device__ __forceinline__ Pairs load_pairs(const Item& item) const {
    Pairs pairs;
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const int row = i * 32 + lane();
      const bool listed = p_.gated && !item.shared && row < item.rows;
      pairs.of_row[i] = listed ? p_.mlp.plan.order[item.first + row] : 0;
    }
    return pairs;
  }

  // Where this lane's rows of an item begin.
  struct Sources {
    const Bf16* rows[kLaneRows];
  };

  __device__ __forceinline__ Sources sources(const Item& item, const Pairs& pairs) const {
    Sources from;
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const int row = i * 32 + lane();
      const int x_row = item.shared ? item.first + row : pairs.of_row[i] / slots();
      from.rows[i] = p_.gated ? p_.mlp.x + static_cast<std::int64_t>(x_row) * p_.mlp.hidden : inner_row(item, row);
    }
    return from;
  }

  __device__ __forceinline__ void fetch_rows(const Item& item, const Sources& from, int step, int slot,
                                             std::uint64_t policy) {
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const int row = i * 32 + lane();
      if (row >= item.rows) { continue; }
      bulk_load(shared_.rows[slot].values[row], from.rows[i] + step * kDepth,
                static_cast<unsigned>(row_bytes(item, step)), shared_.full + slot, policy);
    }
  }

  // Weights are never written: those of the shared expert may come before the kernels that make the list are done.
  __device__ __forceinline__ void fetch_early() {
    const auto index = static_cast<int>(blockIdx.x);
    if (index >= shared_items_) { return; }
    const Item item = item_at(index);
    early_ = min(kStages, item.steps());
    const std::uint64_t once = evict_first_policy();
    for (int step = 0; step < early_; ++step) { fetch_weights(item, step, step, once); }
  }

  __device__ __forceinline__ void fetch() {
    const std::uint64_t once = evict_first_policy();
    const std::uint64_t again = evict_last_policy();
    const auto blocks = static_cast<int>(gridDim.x);
    auto index = static_cast<int>(blockIdx.x);
    if (index >= items_) { return; }
    Item item = item_at(index);
    Pairs pairs = load_pairs(item);
    int at = 0;
    for (; index < items_; index += blocks) {
      const Sources from = sources(item, pairs);
      const Item next = index + blocks < items_ ? item_at(index + blocks) : item;
      pairs = load_pairs(next);  // on their way while this item is fetched
      for (int step = 0; step < item.steps(); ++step, ++at) {
        const int slot = at % kStages;
        if (at >= kStages) { barrier_wait(shared_.empty + slot, static_cast<unsigned>(at / kStages - 1) & 1U); }
        if (at >= early_) { fetch_weights(item, step, slot, once); }
        fetch_rows(item, from, step, slot, again);
      }
      item = next;
    }
  }

  // ---- The warps that multiply.

  __device__ __forceinline__ void multiply_all() {
    int at = 0;
    for (auto index = static_cast<int>(blockIdx.x); index < items_; index += static_cast<int>(gridDim.x)) {
      const Item item = item_at(index);
      const int columns = ceil_div(item.rows, 8);
      Answers answers;
      load_answers(item, answers);
      float sums[kTiles][kColumns][4] = {};
      const int steps = item.steps();
      for (int step = warp(); step < steps; step += kWarps) {
        const int slot = (at + step) % kStages;
        const auto parity = static_cast<unsigned>((at + step) / kStages) & 1U;
        if constexpr (kFp8) {
          const Scales scales = load_scales(item, step);
          barrier_wait(shared_.full + slot, parity);
          multiply_fp8(slot, columns, scales, sums);
        } else {
          barrier_wait(shared_.full + slot, parity);
          multiply_bf16(slot, columns, ceil_div(min(kDepth, item.k - step * kDepth), 16), sums);
        }
        __syncwarp();
        if (lane() == 0) { barrier_arrive(shared_.empty + slot); }
      }
      at += steps;
      finish(item, columns, min(kWarps, steps), answers, sums);
    }
  }

  // Of the two halves of an item's outputs.
  struct Scales {
    float first = 0.0F;
    float second = 0.0F;
  };

  __device__ __forceinline__ Scales load_scales(const Item& item, int step) const {
    const float* scales = item.shared ? p_.shared_scales : p_.scales;
    const std::int64_t blocks = item.k / kScaleBlock;
    return {scales[item.weight_row / kScaleBlock * blocks + step],
            scales[item.second_row / kScaleBlock * blocks + step]};
  }

  // Which row of 16 outputs this lane tells the matrix load.
  static __device__ __forceinline__ int row_of_tile() { return lane() / 8 % 2 * 8 + lane() % 8; }

  __device__ __forceinline__ void multiply_fp8(int slot, int columns, const Scales& scales,
                                               float (&sums)[kTiles][kColumns][4]) {
    const auto& weights = shared_.weights[slot].bytes[0];
    const auto& rows = shared_.rows[slot].values;
    float of_step[kTiles][kColumns][4] = {};
#pragma unroll
    for (int pair = 0; pair < kDepth / 32; ++pair) {
      // Of 16 columns a lane has four that lie side by side, of weights as of x: for their sum any order does.
      uint2 x[2][kColumns];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (c >= columns) { break; }
        const Bf16* from = &rows[c * 8 + lane() / 4][pair * 32 + lane() % 4 * 4];
        x[0][c] = *reinterpret_cast<const uint2*>(from);
        x[1][c] = *reinterpret_cast<const uint2*>(from + 16);
      }
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        std::uint32_t bytes[4];  // rows 0 to 7 and 8 to 15 of 16 columns, then of the next 16
        const int word = (pair * 2 + lane() / 16) ^ lane() % 8;
        load_matrices(bytes, &weights[t * 16 + row_of_tile()][word * 16]);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const std::uint32_t w[4] = {widen2(bytes[2 * i], 0x1404), widen2(bytes[2 * i + 1], 0x1404),
                                      widen2(bytes[2 * i], 0x3424), widen2(bytes[2 * i + 1], 0x3424)};
#pragma unroll
          for (int c = 0; c < kColumns; ++c) {
            if (c < columns) { multiply(of_step[t][c], w, x[i][c].x, x[i][c].y); }
          }
        }
      }
    }
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float scale = t * 16 + i / 2 * 8 < kHalf ? scales.first : scales.second;
#pragma unroll
        for (int c = 0; c < kColumns; ++c) { sums[t][c][i] = fmaf(scale, of_step[t][c][i], sums[t][c][i]); }
      }
    }
  }

  __device__ __forceinline__ void multiply_bf16(int slot, int columns, int steps, float (&sums)[kTiles][kColumns][4]) {
    const auto& weights = shared_.weights[slot].bytes;
    const auto& rows = shared_.rows[slot].values;
#pragma unroll
    for (int pair = 0; pair < kDepth / 32; ++pair) {
      if (2 * pair >= steps) { break; }
      std::uint32_t x[kColumns][4];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (c < columns) { load_matrices(x[c], &rows[c * 8 + lane() % 8][pair * 32 + lane() / 8 * 8]); }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int step = 2 * pair + i;
        if (step >= steps) { break; }
        const int word = step % 4 * 2 + lane() / 16;  // of 8 columns, before they are swizzled
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
          std::uint32_t w[4];
          load_matrices(w, &weights[step / 4][t * 16 + row_of_tile()][(word ^ lane() % 8) * 16]);
#pragma unroll
          for (int c = 0; c < kColumns; ++c) {
            if (c < columns) { multiply(sums[t][c], w, x[c][2 * i], x[c][2 * i + 1]); }
          }
        }
      }
    }
  }

  static __device__ __forceinline__ void multipliers_meet() {
    asm volatile("bar.sync 1, %0;" ::"n"(kMultipliers) : "memory");
  }

  static __device__ __forceinline__ int row_of_eight() { return static_cast<int>(threadIdx.x) % 8; }

  // The pairs that this thread's rows of the product down answer.
  using Answers = int[kColumns];
  __device__ __forceinline__ void load_answers(const Item& item, Answers& answers) const {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int row = c * 8 + row_of_eight();
      answers[c] = 0;
      if (p_.gated || row >= item.rows) { continue; }
      const int place = item.first + row;
      answers[c] = item.shared ? place * slots() + p_.mlp.chosen : p_.mlp.plan.order[place];
    }
  }

  // Adds the sums of the first `parts` warps, 8 rows at a time, and writes them.
  __device__ __forceinline__ void finish(const Item& item, int columns, int parts, const Answers& answers,
                                         const float (&sums)[kTiles][kColumns][4]) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (c >= columns) { break; }
      auto& buffer = shared_.sums[turn_];
      turn_ ^= 1;
      if (warp() < parts) {
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
#pragma unroll
          for (int i = 0; i < 4; i += 2) {
            *reinterpret_cast<float2*>(&buffer[warp()][t * 16 + lane() / 4 + i * 4][lane() % 4 * 2]) =
                make_float2(sums[t][c][i], sums[t][c][i + 1]);
          }
        }
      }
      multipliers_meet();  // the other buffer was read before the meeting before this one
      const int row = c * 8 + row_of_eight();
      if (row < item.rows) {
        p_.gated ? write_gated(item, row, parts, buffer) : write_answers(item, answers[c], parts, buffer);
      }
    }
  }

  using Parts = float[kWarps][kOutputs][8];

  static __device__ __forceinline__ float total(const Parts& buffer, int parts, int output) {
    float sum = buffer[0][output][row_of_eight()];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) {
      if (w < parts) { sum += buffer[w][output][row_of_eight()]; }
    }
    return sum;
  }

  __device__ __forceinline__ void write_gated(const Item& item, int row, int parts, const Parts& buffer) {
    Bf16* to = inner_row(item, row) + item.column;
    for (int i = static_cast<int>(threadIdx.x) / 8; i < kHalf && item.column + i < item.width; i += kMultipliers / 8) {
      to[i] = __float2bfloat16_rn(silu(total(buffer, parts, i)) * total(buffer, parts, kHalf + i));
    }
  }

  __device__ __forceinline__ void write_answers(const Item& item, int pair, int parts, const Parts& buffer) {
    float* to = p_.mlp.answers + static_cast<std::int64_t>(pair) * p_.mlp.hidden + item.column;
    for (int i = static_cast<int>(threadIdx.x) / 8; i < kOutputs && item.column + i < item.width;
         i += kMultipliers / 8) {
      to[i] = total(buffer, parts, i);
    }
  }

  const Product& p_;
  const CUtensorMap* routed_;
  const CUtensorMap* shared_map_;
  SharedT& shared_;
  int per_item_;
  int shared_items_;
  int items_of_tile_;
  int items_ = 0;
  int early_ = 0;  // stages whose weights were fetched early
  int turn_ = 0;
};

}  // namespace vortex::cuda::expert_products
