#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace vortex::cpu {

// Grouped-query decode attention over paged K and V: one query token per request. A row is (request, kv head); its
// `group` query heads share each K and V load. A `block` is a logical position in a request, a page its physical place.
struct AttentionArgs {
  const float* q = nullptr;  // [request][kv head][group][head_dim], after RoPE
  float* out = nullptr;      // like q, with value_dim instead of head_dim

  // [page][kv head][block_size][head_dim] and [page][kv head][block_size][value_dim]
  const Bf16* k = nullptr;
  const Bf16* v = nullptr;
  // Elements between two tokens of v. 0 means value_dim; MLA sets v = k and value_stride = head_dim.
  int value_stride = 0;

  const std::int32_t* block_table = nullptr;  // [request][max_blocks]; slots past the last block are never read
  int max_blocks = 0;
  const std::int32_t* seq_lens = nullptr;  // [request] tokens, the current one included; 0 gives a row of zeros

  // Logical blocks to attend, ascending, per row; all blocks when `selected` is null.
  const std::int32_t* selected = nullptr;  // [row][selected_stride]
  int selected_stride = 0;
  const std::int32_t* selected_counts = nullptr;  // [row]

  int requests = 0;
  int kv_heads = 0;
  int group = 1;
  int head_dim = 0;
  int value_dim = 0;  // 0 means head_dim
  int block_size = 0;
  float scale = 1.0F;  // of the logits, usually 1 / sqrt(head_dim)
};

// out = softmax(scale q K^T) V over the tokens of the attended blocks, with an online softmax over tiles of 16 tokens.
// The result depends on the sequence of attended tokens alone: attending all blocks by selection gives the bits of
// dense attention, and neither threads nor instruction set nor the rest of the batch change a bit. Tokens past seq_len
// in the last block, unused pages and unused table slots are never read.
void paged_attention(const AttentionArgs& args, ThreadPool* pool = nullptr, Isa isa = best_isa());

}  // namespace vortex::cpu
