#include "kernels/cuda/device.cuh"
#include "kernels/cuda/step.h"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) embed_kernel(const EmbedRows a) {
  const int row = static_cast<int>(blockIdx.x);
  const auto* from = reinterpret_cast<const uint4*>(a.table + static_cast<std::int64_t>(a.tokens[row]) * a.width);
  auto* to = reinterpret_cast<uint4*>(a.out + static_cast<std::int64_t>(row) * a.width);
  for (int i = static_cast<int>(threadIdx.x); i < a.width / 8; i += kThreads) { to[i] = from[i]; }
  if (a.granted != nullptr && threadIdx.x == 0) { a.step_lengths[row] = a.granted[row] != 0 ? a.lengths[row] : 0; }
}

__global__ void __launch_bounds__(kThreads) end_step_kernel(const EndStep a) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= a.count) { return; }
  const int slot = a.first + i;
  if (a.granted != nullptr && a.granted[slot] == 0) { return; }
  const std::int32_t token = a.slots.next_tokens[slot];
  const std::int32_t produced = a.slots.produced[slot];
  a.slots.ring[slot * kTokenRing + produced % kTokenRing] = token;
  a.slots.produced[slot] = produced + 1;
  const std::int32_t remaining = a.slots.remaining[slot] - 1;
  a.slots.remaining[slot] = remaining;
  bool stop = false;
  for (int s = 0; s < a.num_stop_tokens; ++s) { stop = stop || token == a.stop_tokens[s]; }
  stop = stop && a.slots.ignores_stops[slot] == 0;
  a.slots.stopped[slot] = stop ? 1 : 0;
  a.slots.new_tokens[slot] = remaining > 0 && !stop ? 1 : 0;
}

__device__ __forceinline__ std::int64_t block_sum(std::int64_t x, std::int64_t* warp_sums) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) { x += __shfl_xor_sync(kFullWarp, x, offset); }
  __syncthreads();
  if (threadIdx.x % 32 == 0) { warp_sums[threadIdx.x / 32] = x; }
  __syncthreads();
  std::int64_t total = 0;
#pragma unroll
  for (int w = 0; w < kThreads / 32; ++w) { total += warp_sums[w]; }
  return total;
}

// One thread block a layer, so that nothing else writes its counters.
__global__ void __launch_bounds__(kThreads) count_pages_kernel(const CountPages a) {
  __shared__ std::int64_t warp_sums[kThreads / 32];
  const int layer = static_cast<int>(blockIdx.x);
  const int rows = a.slots * a.num_kv_heads;
  const std::int32_t* counts = a.counts + static_cast<std::int64_t>(layer) * a.max_slots * a.num_kv_heads;
  PageCounters mine;
  for (int row = static_cast<int>(threadIdx.x); row < rows; row += kThreads) {
    const int length = a.step_lengths[row / a.num_kv_heads];
    if (length == 0) { continue; }
    const int blocks = ceil_div(length, a.block);
    const int attended = a.selects[layer] != 0 ? counts[row] : blocks;
    if (row % a.num_kv_heads == 0) { mine.calls += 1; }
    mine.visible += blocks;
    mine.attended += attended;
    mine.tokens += static_cast<std::int64_t>(attended) * a.block - (blocks * a.block - length);
    if (attended < blocks) { mine.scored += blocks - a.unscored; }
  }
  PageCounters total;
  total.calls = block_sum(mine.calls, warp_sums);
  total.visible = block_sum(mine.visible, warp_sums);
  total.attended = block_sum(mine.attended, warp_sums);
  total.tokens = block_sum(mine.tokens, warp_sums);
  total.scored = block_sum(mine.scored, warp_sums);
  if (threadIdx.x == 0) {
    PageCounters& out = a.counters[layer];
    out.calls += total.calls;
    out.visible += total.visible;
    out.attended += total.attended;
    out.tokens += total.tokens;
    out.scored += total.scored;
  }
}

__global__ void __launch_bounds__(kThreads)
    move_rows_kernel(std::int32_t* table, int max_blocks, const std::int32_t* from, const std::int32_t* to) {
  const std::int32_t* source = table + static_cast<std::int64_t>(from[blockIdx.x]) * max_blocks;
  std::int32_t* target = table + static_cast<std::int64_t>(to[blockIdx.x]) * max_blocks;
  for (int i = static_cast<int>(threadIdx.x); i < max_blocks; i += kThreads) { target[i] = source[i]; }
}

}  // namespace

cudaError_t embed_rows(const EmbedRows& args, cudaStream_t stream) {
  const bool pointers = args.table && args.tokens && args.out && (!args.granted || (args.lengths && args.step_lengths));
  if (!pointers || args.rows < 0 || args.width <= 0) { return cudaErrorInvalidValue; }
  if (args.width % 8 != 0) { return cudaErrorNotSupported; }
  if (args.rows == 0) { return cudaSuccess; }
  embed_kernel<<<static_cast<unsigned>(args.rows), kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t end_step(const EndStep& args, cudaStream_t stream) {
  const bool sizes = args.first >= 0 && args.count >= 0 && args.num_stop_tokens >= 0;
  if (!args.slots.next_tokens || !sizes || args.num_stop_tokens > kMaxStopTokens) { return cudaErrorInvalidValue; }
  if (args.count == 0) { return cudaSuccess; }
  end_step_kernel<<<static_cast<unsigned>(ceil_div(args.count, kThreads)), kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t count_pages(const CountPages& args, cudaStream_t stream) {
  const bool pointers = args.step_lengths && args.counts && args.selects && args.counters;
  if (!pointers || args.layers <= 0 || args.block <= 0 || args.slots > args.max_slots) { return cudaErrorInvalidValue; }
  count_pages_kernel<<<static_cast<unsigned>(args.layers), kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t move_table_rows(std::int32_t* table, int max_blocks, const std::int32_t* from, const std::int32_t* to,
                            int count, cudaStream_t stream) {
  if (!table || !from || !to || max_blocks <= 0 || count < 0) { return cudaErrorInvalidValue; }
  if (count == 0) { return cudaSuccess; }
  move_rows_kernel<<<static_cast<unsigned>(count), kThreads, 0, stream>>>(table, max_blocks, from, to);
  return cudaGetLastError();
}

}  // namespace vortex::cuda
