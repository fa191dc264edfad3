// How the selection kernels of this folder use select_keys.cuh. One thread block handles one row; all keys of the row
// live in shared memory, so there is no candidate buffer to overflow.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/select.h"
#include "kernels/cuda/select_keys.cuh"

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

// Shared memory for the keys of a row.
inline std::size_t key_bytes(int max_blocks) { return static_cast<std::size_t>(max_blocks) * sizeof(std::uint32_t); }

// Writes the scored part of a row's selection, from the keys of its competing blocks. kBits: how many leading bits of a
// key carry information. `tolerance` as in SelectBlocks (0 with kBits == 32). `counted` as in select_largest().
template <int kThreads, int kBits>
__device__ __forceinline__ void select_row(const std::uint32_t* keys, Digits& digits, bool counted, const RowPlan& plan,
                                           float tolerance, std::int32_t* out) {
  const int enough = tolerance > 0.0F ? static_cast<int>(ceilf((1.0F - tolerance) * static_cast<float>(plan.k))) : -1;
  select_largest<kThreads, kBits>(keys, plan.last - plan.first, digits, counted, plan.k, enough,
                                  [&](int rank, int position) { out[plan.first + rank] = plan.first + position; });
}

// The part of a row's selection that no score decides: the reserved blocks or, where everything fits, all.
__device__ __forceinline__ void write_fixed_blocks(const RowPlan& plan, std::int32_t* out) {
  for (int i = static_cast<int>(threadIdx.x); i < plan.selected; i += static_cast<int>(blockDim.x)) {
    if (i < plan.first || i >= plan.first + plan.k) {
      out[i] = i < plan.first + plan.k ? i : i + plan.blocks - plan.selected;
    }
  }
}

// The same, and how many blocks the row selects.
__device__ __forceinline__ void write_fixed_blocks(const RowPlan& plan, std::int32_t* out, std::int32_t* count) {
  if (threadIdx.x == 0) { *count = plan.selected; }
  write_fixed_blocks(plan, out);
}

inline bool valid(const SelectionRule& rule, const SelectionOutput& out, int max_blocks) {
  return rule.lengths && rule.budgets && out.blocks && out.counts && rule.num_requests >= 0 && rule.num_kv_heads > 0 &&
         rule.block > 0 && rule.reserved_bos >= 0 && rule.reserved_eos >= 1 &&
         out.max_selected >= rule.reserved_bos + rule.reserved_eos && max_blocks > 0 &&
         max_blocks <= kMaxSelectableBlocks;
}

}  // namespace vortex::cuda
