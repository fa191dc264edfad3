// Planning a decode step on the device: the next token's place, page allocation, budgets. One thread block each, so
// batches are limited to kMaxPlannedRequests.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

inline constexpr int kMaxPlannedRequests = 1024;

// A stack of free physical pages.
struct FreePages {
  std::int32_t* pages = nullptr;  // [capacity]; the first *count are free
  std::int32_t* count = nullptr;
};

// The default budget of vortex_torch: max(topk + reserved_bos + reserved_eos, int(blocks * ratio)), the product in
// fp32.
struct BudgetRule {
  int topk = 0;
  float ratio = 0.0F;
  int reserved_bos = 0;
  int reserved_eos = 1;
};

// Makes room for new_tokens[request] more tokens of every request: one in decode, a prompt's worth on admission. A
// request gets all the pages it needs from the stack or none. Requests that need pages are served in index order until
// one does not fit; it and the later ones keep what they have and wait, as does a request whose table is full.
// lengths[request] grows by new_tokens[request] and granted[request] is 1 exactly for those that got their places (0
// where nothing was asked).
struct PlanStep {
  std::int32_t* lengths = nullptr;           // [request], in and out
  std::int32_t* table = nullptr;             // [request][max_blocks], in and out
  const std::int32_t* new_tokens = nullptr;  // [request], at least 0
  std::uint8_t* granted = nullptr;           // [request]
  std::int32_t* budgets = nullptr;           // [request], out, in blocks, for the new length; null: not wanted
  FreePages free;
  BudgetRule budget;
  int num_requests = 0;
  int max_blocks = 0;
  int block = 0;
};

cudaError_t plan_step(const PlanStep& args, cudaStream_t stream);

// Returns the pages of every request with finished[request] != 0 to the stack, in request and block order, and sets its
// length to 0. The stack must have room.
struct ReleasePages {
  std::int32_t* lengths = nullptr;
  const std::int32_t* table = nullptr;
  const std::uint8_t* finished = nullptr;  // [request]
  FreePages free;
  int num_requests = 0;
  int max_blocks = 0;
  int block = 0;
};

cudaError_t release_pages(const ReleasePages& args, cudaStream_t stream);

}  // namespace vortex::cuda
