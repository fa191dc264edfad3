#pragma once

#include "kernels/cpu/attention.h"

namespace vortex::cpu {

// One row of paged_attention: what the per-instruction-set kernels take.
struct AttentionRow {
  const float* q = nullptr;  // [group][head_dim]
  float* out = nullptr;      // [group][value_dim]
  const Bf16* k = nullptr;   // this kv head's tokens in page 0; later pages follow at k_page_stride elements
  const Bf16* v = nullptr;
  std::int64_t k_page_stride = 0;
  std::int64_t v_page_stride = 0;
  const std::int32_t* pages = nullptr;   // physical page of each logical block
  const std::int32_t* blocks = nullptr;  // attended logical blocks, null for all
  int count = 0;                         // number of attended blocks
  int seq_len = 0;
  int group = 0;
  int head_dim = 0;
  int value_dim = 0;
  int value_stride = 0;
  int block_size = 0;
  float scale = 1.0F;
  float* scratch = nullptr;  // attention_scratch_size(...) floats, its own
};

// Chunks of a head are 32 elements wide; the scratch holds q, the output accumulators and per-head softmax state.
inline constexpr int kAttentionChunk = 32;
constexpr int padded_dim(int dim) { return (dim + kAttentionChunk - 1) / kAttentionChunk * kAttentionChunk; }
constexpr std::int64_t attention_scratch_size(int group, int head_dim, int value_dim) {
  return static_cast<std::int64_t>(group) * (padded_dim(head_dim) + padded_dim(value_dim) + 3 * 16);
}

// Tokens that a row takes together, and rows that one call takes at most.
inline constexpr int kAttentionTile = 16;
inline constexpr int kMostRowsTogether = 8;

// Computes rows that attend as many tiles, in turns: a tile of each, then the next tile of each. Kv heads of a page are
// neighbours in memory, so that all rows of a request together read it as one stream, and what one row waits for, the
// next ones do not.
void attention_rows_scalar(const AttentionRow* rows, int count);
void attention_rows_avx2(const AttentionRow* rows, int count);
void attention_rows_avx512(const AttentionRow* rows, int count);

}  // namespace vortex::cpu
