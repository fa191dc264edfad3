#include "kernels/cuda/device.cuh"
#include "kernels/cuda/plan.h"

namespace vortex::cuda {
namespace {

constexpr int kThreads = kMaxPlannedRequests;

// The sum of x over the threads before this one, and over all of them. Called by the whole block.
__device__ __forceinline__ int exclusive_scan(int x, int* total) {
  __shared__ int warp_sums[kThreads / 32];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  int inclusive = x;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const int lower = __shfl_up_sync(kFullWarp, inclusive, offset);
    if (lane >= offset) { inclusive += lower; }
  }
  if (lane == 31) { warp_sums[warp] = inclusive; }
  __syncthreads();
  const int sum = warp_sums[lane];
  const int before = __reduce_add_sync(kFullWarp, lane < warp ? sum : 0);
  *total = __reduce_add_sync(kFullWarp, sum);
  return before + inclusive - x;
}

__global__ void __launch_bounds__(kThreads) plan_step_kernel(const PlanStep a) {
  __shared__ int taken;
  const int request = static_cast<int>(threadIdx.x);
  const bool exists = request < a.num_requests;
  const int length = exists ? a.lengths[request] : 0;
  const int new_tokens = exists ? a.new_tokens[request] : 0;
  const int old_blocks = ceil_div(length, a.block);
  const int new_blocks = ceil_div(length + new_tokens, a.block);
  const bool fits = new_tokens > 0 && new_blocks <= a.max_blocks;
  const int needed = fits ? new_blocks - old_blocks : 0;
  const int available = *a.free.count;
  if (threadIdx.x == 0) { taken = 0; }
  int all_needed = 0;
  const int before = exclusive_scan(needed, &all_needed);  // its barrier also orders `taken`

  const bool granted = fits && (needed == 0 || before + needed <= available);
  if (granted && needed > 0) {
    std::int32_t* slots = a.table + static_cast<std::int64_t>(request) * a.max_blocks;
    for (int i = 0; i < needed; ++i) { slots[old_blocks + i] = a.free.pages[available - 1 - before - i]; }
    atomicMax(&taken, before + needed);
  }
  if (exists) {
    const int new_length = length + (granted ? new_tokens : 0);
    a.lengths[request] = new_length;
    a.granted[request] = granted ? 1 : 0;
    if (a.budgets != nullptr) {
      const int blocks = ceil_div(new_length, a.block);
      const int share = static_cast<int>(static_cast<float>(blocks) * a.budget.ratio);
      a.budgets[request] = max(a.budget.topk + a.budget.reserved_bos + a.budget.reserved_eos, share);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) { *a.free.count = available - taken; }
}

__global__ void __launch_bounds__(kThreads) release_pages_kernel(const ReleasePages a) {
  __shared__ int starts[kThreads];
  __shared__ int counts[kThreads];
  const int request = static_cast<int>(threadIdx.x);
  const bool finished = request < a.num_requests && a.finished[request] != 0;
  const int count = finished ? ceil_div(a.lengths[request], a.block) : 0;
  const int available = *a.free.count;
  int total = 0;
  starts[request] = available + exclusive_scan(count, &total);
  counts[request] = count;
  __syncthreads();
  const int lane = request % 32;
  for (int r = request / 32; r < a.num_requests; r += kThreads / 32) {
    const std::int32_t* pages = a.table + static_cast<std::int64_t>(r) * a.max_blocks;
    for (int i = lane; i < counts[r]; i += 32) { a.free.pages[starts[r] + i] = pages[i]; }
  }
  if (finished) { a.lengths[request] = 0; }
  if (threadIdx.x == 0) { *a.free.count = available + total; }
}

bool valid_sizes(int num_requests, int max_blocks, int block) {
  return num_requests >= 0 && num_requests <= kMaxPlannedRequests && max_blocks > 0 && block > 0;
}

}  // namespace

cudaError_t plan_step(const PlanStep& args, cudaStream_t stream) {
  const bool pointers =
      args.lengths && args.table && args.new_tokens && args.granted && args.free.pages && args.free.count;
  if (!pointers || !valid_sizes(args.num_requests, args.max_blocks, args.block)) { return cudaErrorInvalidValue; }
  plan_step_kernel<<<1, kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t release_pages(const ReleasePages& args, cudaStream_t stream) {
  const bool pointers = args.lengths && args.table && args.finished && args.free.pages && args.free.count;
  if (!pointers || !valid_sizes(args.num_requests, args.max_blocks, args.block)) { return cudaErrorInvalidValue; }
  release_pages_kernel<<<1, kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace vortex::cuda
