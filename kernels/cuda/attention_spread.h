// Decode attention whose work is spread evenly over the multiprocessors, however many rows there are and however long.
//
// decode_attention() gives a row to one thread block or to a cluster: rows that are few or of many lengths leave
// multiprocessors with nothing to do. Here the tiles of all rows lie end to end and every thread block takes an equal
// run of them; a row that two or more share is put together from their sums by the one that finishes last, in the order
// of the thread blocks. So a row's bits depend on the batch around it, but not on which thread block was last: the same
// call gives the same bits. Not for engines whose bits must not depend on the batch.
#pragma once

#include "kernels/cuda/attention.h"

namespace vortex::cuda {

// The tiles of a thread block, and the thread blocks of a row: a chunk of tiles each, the last ones fewer or none.
struct SpreadShare {
  int begin = 0;
  int end = 0;
};
struct SpreadParts {
  int first = 0;
  int count = 0;
};

// Tiles of a thread block where there are `tiles` in all; 1 at least.
__host__ __device__ constexpr int spread_chunk(int tiles, int blocks, int least_tiles) {
  const int even = (tiles + blocks - 1) / blocks;
  const int least = least_tiles > 1 ? least_tiles : 1;
  return even > least ? even : least;
}

// Those of one thread block; begin == end where it has none.
__host__ __device__ constexpr SpreadShare spread_share(int block, int tiles, int chunk) {
  const std::int64_t begin = static_cast<std::int64_t>(block) * chunk;
  const std::int64_t end = begin + chunk;
  return {static_cast<int>(begin < tiles ? begin : tiles), static_cast<int>(end < tiles ? end : tiles)};
}

// The thread blocks that share a row of the tiles [begin, end), begin < end.
__host__ __device__ constexpr SpreadParts spread_parts(int begin, int end, int chunk) {
  return {begin / chunk, (end - 1) / chunk - begin / chunk + 1};
}

struct SpreadSchedule {
  int blocks = 132;     // thread blocks, one a multiprocessor: 1 to kMaxSpreadBlocks
  int warps = 8;        // 8 or 16; of more than two query heads a kv head always 8
  int least_tiles = 8;  // of 16 tokens, that a thread block takes if there are any
  // Dense attention only: asks for keys and values before the kernels before it on the stream are done. Right where
  // those write only K and V of each request's newest token, and the page table was complete before the last kernel
  // that was not launched early; so in a decode step.
  bool reads_ahead = false;
};

inline constexpr int kMaxSpreadBlocks = 256;
inline constexpr int kMaxSpreadRows = 1024;

// Whether spread_attention() has a kernel for it: bf16 or e4m3, up to 4 query heads a kv head, up to kMaxSpreadRows
// rows.
bool spread_attention_supports(const DecodeAttention& args);

// Bytes of device memory that a call needs beside its arguments.
std::size_t spread_workspace_bytes(const DecodeAttention& args, const SpreadSchedule& schedule);

// One thread block a multiprocessor.
SpreadSchedule plan_spread_attention(int num_sms);

// What decode_attention() does. `workspace`: spread_workspace_bytes(), its first kMaxSpreadRows words zero before the
// first call, left so by every call; calls on one stream may share it. Started early, it reads the lengths while the
// kernel before it still runs.
cudaError_t spread_attention(const DecodeAttention& args, const SpreadSchedule& schedule, void* workspace,
                             cudaStream_t stream);

}  // namespace vortex::cuda
