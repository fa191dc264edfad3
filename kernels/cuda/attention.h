// Paged grouped-query decode attention: one query token per request against all or the selected blocks of its KV.
#pragma once

#include "kernels/cuda/row_pieces.h"
#include "kernels/cuda/types.h"

namespace vortex::cuda {

// For each request b and query head h (group size G = num_q_heads / num_kv_heads, kv head h / G):
//   out[b][h] = sum_t softmax_t(scale * q[b][h] . k_t) v_t   over the tokens t of the visited blocks.
// Rows without tokens (length 0, or no block selected) give 0 and lse = -inf.
// Supported: any G (each 8 heads beyond the first 8 read their row again), head_dim in {64, 128}, block a multiple
// of 16.
// Started early, it reads the lengths while the kernel before it still runs.
struct DecodeAttention {
  const Bf16* q = nullptr;  // [request][q head][head_dim]
  Bf16* out = nullptr;      // [request][q head][head_dim]
  float* lse = nullptr;     // [request][q head], natural log of the softmax denominator; may be null
  KvPool kv;
  PageTable table;
  Selection selection;
  int num_requests = 0;
  int num_q_heads = 0;
  float scale = 1.0F;
};

// How the tokens of a row are spread: over `cluster` thread blocks of `warps` warps, tile i of 16 tokens going to warp
// i % (cluster * warps); each warp keeps a ring of `slots` K or V tiles in flight. The tiles of a row belong to
// `pieces` * `warps` pieces with a softmax of their own (row_pieces.h), which are put together in one order through
// registers and (distributed) shared memory, without atomics. The bits follow from `warps`, `pieces` and the tokens
// that are visited alone: not from `cluster`, the batch, or whether the blocks were selected. With as many pieces as
// thread blocks a warp has one, and least to add up.
struct DecodeSchedule {
  int warps = 8;                       // 1 to 8
  int slots = 3;                       // 2 to 16; fewer are used where these do not fit
  int cluster = 1;                     // 1, 2, 4 or 8
  int pieces = decode_row::kMaxRanks;  // the same, at least `cluster`
};

// A schedule for `rows` rows that visit up to `max_blocks_visited` blocks each: rows are split over a cluster only
// where they are too few to fill `num_sms` multiprocessors and long enough for it. Depends on nothing else, so a graph
// captured for a batch capacity keeps its results when lengths change.
DecodeSchedule plan_decode_attention(int rows, int max_blocks_visited, int num_sms);

cudaError_t decode_attention(const DecodeAttention& args, const DecodeSchedule& schedule, cudaStream_t stream);

}  // namespace vortex::cuda
