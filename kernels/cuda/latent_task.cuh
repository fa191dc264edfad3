// What one thread block of latent attention, or some that share it, has to do: up to kMaxLatentHeads query rows, which
// lie behind one another in q, against the tokens of one request. Of a decode step the rows are heads of one request,
// of a prompt the (token, head) pairs in order.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/latent.h"

namespace vortex::cuda {

inline constexpr int kMaxLatentHeads = 32;

// Over how many tasks the heads of a row are spread, and how many heads one has.
__host__ __device__ __forceinline__ int latent_parts(int heads) { return ceil_div(heads, kMaxLatentHeads); }
__host__ __device__ __forceinline__ int latent_part_heads(int heads) { return ceil_div(heads, latent_parts(heads)); }

struct LatentTask {
  std::int64_t first = 0;  // query row, as row * num_q_heads + head
  int rows = 0;
  int request = 0;
  int tokens = 0;  // visited, by the row that sees most
};

// Task `unit` of a step. The length is asked for before the kernels before this one are done, the selection after:
// call wait_for_predecessors() between the two.
__device__ __forceinline__ LatentTask start_decode_task(const LatentAttention& a, int unit, int& length) {
  const int parts = latent_parts(a.num_q_heads);
  const int size = latent_part_heads(a.num_q_heads);
  LatentTask task;
  task.request = unit / parts;
  const int head = unit % parts * size;
  task.first = static_cast<std::int64_t>(task.request) * a.num_q_heads + head;
  task.rows = min(size, a.num_q_heads - head);
  length = a.table.lengths[task.request];
  return task;
}

__device__ __forceinline__ void finish_decode_task(const LatentAttention& a, int length, LatentTask& task) {
  const int blocks = ceil_div(length, a.kv.block);
  const int visited = a.selection.blocks != nullptr ? a.selection.counts[task.request] : blocks;
  const int last_tokens = length - (blocks - 1) * a.kv.block;
  task.tokens = length > 0 && visited > 0 ? (visited - 1) * a.kv.block + last_tokens : 0;
}

// Task `unit` of a prompt, `size` query rows each.
__device__ __forceinline__ LatentTask prompt_task(const LatentAttention& a, int unit, int size) {
  const std::int64_t all = static_cast<std::int64_t>(a.rows) * a.num_q_heads;
  LatentTask task;
  task.first = static_cast<std::int64_t>(unit) * size;
  task.rows = static_cast<int>(min(static_cast<long long>(size), static_cast<long long>(all - task.first)));
  task.tokens = a.first + static_cast<int>((task.first + task.rows - 1) / a.num_q_heads) + 1;
  return task;
}

// Tokens that query row `i` of a task sees.
__device__ __forceinline__ int tokens_of_row(const LatentAttention& a, const LatentTask& task, int i) {
  return a.prompt ? a.first + static_cast<int>((task.first + i) / a.num_q_heads) + 1 : task.tokens;
}

}  // namespace vortex::cuda
