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

// Makes room for one more token of every request with wanted[request] != 0. A request whose last block is full takes a
// page from the stack; where pages run out, the requests of lower index get theirs and the others keep what they have
// and wait, as does a request whose table is full. lengths[request] grows by one and granted[request] is 1 exactly for
// those that got their place.
struct PlanStep {
  std::int32_t* lengths = nullptr;       // [request], in and out
  std::int32_t* table = nullptr;         // [request][max_blocks], in and out
  const std::uint8_t* wanted = nullptr;  // [request]
  std::uint8_t* granted = nullptr;       // [request]
  std::int32_t* budgets = nullptr;       // [request], out, in blocks, for the new length; null: not wanted
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
