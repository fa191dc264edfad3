// The block-wide selection shared by every kernel that ends in a top-k of blocks. One thread block handles one row;
// all keys of the row live in registers, so there is no candidate buffer to overflow.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/select.h"

namespace vortex::cuda {

// What a row selects, from its length and budget.
struct RowPlan {
  int blocks;    // n
  int selected;  // sel
  int first;     // competing blocks are [first, last)
  int last;
  int k;  // how many of them win; 0 where everything is selected
};

__device__ __forceinline__ RowPlan plan_row(const SelectionRule& rule, const SelectionOutput& out, int request) {
  RowPlan plan{};
  plan.blocks = ceil_div(rule.lengths[request], rule.block);
  const int reserved = rule.reserved_bos + rule.reserved_eos;
  const int budget = min(max(rule.budgets[request], reserved), out.max_selected);
  plan.selected = min(budget, plan.blocks);
  if (plan.blocks > plan.selected) {
    plan.first = rule.reserved_bos;
    plan.last = plan.blocks - rule.reserved_eos;
    plan.k = plan.selected - reserved;
  }
  return plan;
}

// An order-preserving map of scores: larger score, larger key. 0 is below every score, so it marks "not competing".
__device__ __forceinline__ std::uint32_t score_key(float score) {
  if (isnan(score)) return 0x00010000U;  // below -inf, whose key is 0x007fffff
  const std::uint32_t bits = score == 0.0F ? 0U : __float_as_uint(score);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// Thread t holds in keys[j] the key of position (t / 32 * kPerThread + j) * 32 + t % 32, counted from plan.first.
template <int kPerThread>
__device__ __forceinline__ int key_position(int j) {
  return (static_cast<int>(threadIdx.x) / 32 * kPerThread + j) * 32 + static_cast<int>(threadIdx.x) % 32;
}

// Finds the k-th largest key and writes the row's selection. kBits: how many leading bits of a key carry information.
// `tolerance` as in SelectBlocks (0 with kBits == 32).
template <int kPerThread, int kThreads, int kBits>
__device__ __forceinline__ void select_row(const std::uint32_t (&keys)[kPerThread], const RowPlan& plan,
                                           float tolerance, std::int32_t* out) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int warp_counts[2][kWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;

  // How many keys are >= bound. Buffers alternate, so one barrier per call is enough.
  int buffer = 0;
  const auto count_from = [&](std::uint32_t bound) {
    int count = 0;
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) count += keys[j] >= bound ? 1 : 0;
    count = __reduce_add_sync(kFullWarp, count);
    if (lane == 0) warp_counts[buffer][warp] = count;
    __syncthreads();
    int total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += warp_counts[buffer][w];
    buffer ^= 1;
    return total;
  };

  // The largest bound that at least k keys reach, bit by bit; keys at it and above it win, the former only up to k.
  std::uint32_t bound = 0;
  std::uint32_t above_bound = 0;  // keys >= above_bound win outright
  for (int bit = 31; bit >= 32 - kBits; --bit) {
    const std::uint32_t candidate = bound | (1U << bit);
    const int count = count_from(candidate);
    if (count >= plan.k) bound = candidate;
    above_bound = bound + (1U << bit);
    if (count == plan.k) break;
    if (bit == 24 && tolerance > 0.0F) {
      const int needed = static_cast<int>(ceilf((1.0F - tolerance) * static_cast<float>(plan.k)));
      const int certain = above_bound != 0 ? count_from(above_bound) : 0;
      if (certain >= needed) break;
    }
  }
  // bound + 2^bit wraps to 0 only when every leading bit is set: then nothing is above.
  const auto wins = [&](std::uint32_t key) { return above_bound != 0 && key >= above_bound; };
  const auto ties = [&](std::uint32_t key) { return key >= bound && !wins(key); };

  int my_wins = 0;
  int my_ties = 0;
#pragma unroll
  for (int j = 0; j < kPerThread; ++j) {
    my_wins += wins(keys[j]) ? 1 : 0;
    my_ties += ties(keys[j]) ? 1 : 0;
  }
  my_wins = __reduce_add_sync(kFullWarp, my_wins);
  my_ties = __reduce_add_sync(kFullWarp, my_ties);
  __syncthreads();
  if (lane == 0) {
    warp_counts[0][warp] = my_wins;
    warp_counts[1][warp] = my_ties;
  }
  __syncthreads();
  int wins_before = 0;
  int ties_before = 0;
  int total_wins = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    total_wins += warp_counts[0][w];
    if (w < warp) {
      wins_before += warp_counts[0][w];
      ties_before += warp_counts[1][w];
    }
  }
  const int ties_taken = plan.k - total_wins;
  const unsigned lanes_below = (1U << lane) - 1;
#pragma unroll
  for (int j = 0; j < kPerThread; ++j) {
    const bool win = wins(keys[j]);
    const bool tie = ties(keys[j]);
    const unsigned win_mask = __ballot_sync(kFullWarp, win);
    const unsigned tie_mask = __ballot_sync(kFullWarp, tie);
    const int wins_at = wins_before + __popc(win_mask & lanes_below);
    const int ties_at = ties_before + __popc(tie_mask & lanes_below);
    if (win || (tie && ties_at < ties_taken)) {
      out[plan.first + wins_at + min(ties_at, ties_taken)] = plan.first + key_position<kPerThread>(j);
    }
    wins_before += __popc(win_mask);
    ties_before += __popc(tie_mask);
  }
}

// The part of a row's selection that no score decides: its count, and the reserved blocks or, where everything fits,
// all.
__device__ __forceinline__ void write_fixed_blocks(const RowPlan& plan, std::int32_t* out, std::int32_t* count) {
  if (threadIdx.x == 0) *count = plan.selected;
  for (int i = static_cast<int>(threadIdx.x); i < plan.selected; i += static_cast<int>(blockDim.x)) {
    if (i < plan.first || i >= plan.first + plan.k) {
      out[i] = i < plan.first + plan.k ? i : i + plan.blocks - plan.selected;
    }
  }
}

inline bool valid(const SelectionRule& rule, const SelectionOutput& out, int max_blocks) {
  return rule.lengths && rule.budgets && out.blocks && out.counts && rule.num_requests >= 0 && rule.num_kv_heads > 0 &&
         rule.block > 0 && rule.reserved_bos >= 0 && rule.reserved_eos >= 1 &&
         out.max_selected >= rule.reserved_bos + rule.reserved_eos && max_blocks > 0 &&
         max_blocks <= kMaxSelectableBlocks;
}

}  // namespace vortex::cuda
