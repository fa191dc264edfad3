// How much of dense attention's softmax the pages hold that a selection attends: what a policy is judged by, without a
// copy of K.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// Sums over the calls that looked at a row. The shares are means over the query heads of the row's group, but the two
// of pages, which are of the group's softmax mass added up.
struct RecallSums {
  double mass = 0;         // of softmax over all tokens, on the attended blocks
  double mass_chosen = 0;  // of softmax over the tokens of competing blocks, on those attended; 1 where none competes
  double best = 0;         // of the k blocks with the most mass, those attended; k are attended, ties count as best
  double best_chosen = 0;  // the same among competing blocks; 1 where none of them is attended
  double looks = 0;        // calls
};

// Adds one look at every row with tokens. A block competes unless it is one of the first `reserved_first` or the last
// `reserved_last` of its row. Supported: any group, head_dim in {64, 128}, block a multiple of 16; of one kv
// head in bf16, which latents are, any head_dim up to 640. V is not read.
struct MeasureRecall {
  const Bf16* q = nullptr;  // [request][q head][head_dim]
  KvPool kv;
  PageTable table;      // at most kMaxSelectableBlocks (select.h) blocks a row
  Selection selection;  // not the dense one
  int num_requests = 0;
  int num_q_heads = 0;
  float scale = 1.0F;
  int reserved_first = 0;
  int reserved_last = 0;
  float2* workspace = nullptr;  // [row][q head of the group][max_blocks]
  RecallSums* sums = nullptr;   // [row], in and out
};

cudaError_t measure_recall(const MeasureRecall& args, cudaStream_t stream);

}  // namespace vortex::cuda
