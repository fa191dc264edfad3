// Paged grouped-query decode attention: one query token per request against all or the selected blocks of its KV.
#pragma once

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

// How the tokens of a row are spread: `cluster` thread blocks of `warps` warps, tile i of 16 tokens going to warp
// i % (cluster * warps); each warp keeps a ring of `slots` K or V tiles in flight. Partial results are merged in warp
// order through (distributed) shared memory, without atomics. Two calls with the same schedule that visit the same
// tokens give the same bits, whatever the batch is and whether the blocks were selected or dense.
struct DecodeSchedule {
  int warps = 8;    // 1 to 8
  int slots = 3;    // 2 to 16
  int cluster = 1;  // 1, 2, 4 or 8
};

// A schedule for `rows` rows that visit up to `max_blocks_visited` blocks each: rows are split over a cluster only
// where they are too few to fill `num_sms` multiprocessors and long enough for it. Depends on nothing else, so a graph
// captured for a batch capacity keeps its results when lengths change; selected and dense attention are comparable bit
// for bit only under one schedule.
DecodeSchedule plan_decode_attention(int rows, int max_blocks_visited, int num_sms);

cudaError_t decode_attention(const DecodeAttention& args, const DecodeSchedule& schedule, cudaStream_t stream);

}  // namespace vortex::cuda
