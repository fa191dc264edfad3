#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/compile/cpu/cpu_executable.h"
#include "core/vflow/config/config.h"

namespace vortex::engine {

// One (request, kv head) of a decode step.
struct AttentionRow {
  const float* q = nullptr;        // [group][head_dim], after RoPE
  const int32_t* pages = nullptr;  // physical page of each block
  int head = 0;                    // kv head
  int tokens = 0;                  // in the cache, the current one included; at least 1
};

// How dense attention's weight spreads over the blocks of one row: softmax(scale q.k) summed over the tokens of each
// block, mean over the `group` query heads. `k` is bfloat16. Writes shares[0, blocks), which add up to 1; `scratch` is
// any vector that is kept between calls. Tokens past the row's length are never read.
void page_shares(const compile::PagedTensor& k, const AttentionRow& row, int group, float scale,
                 std::vector<float>& scratch, float* shares);

// The blocks that a row of n blocks attends by these scores under `budget` (its block size, topk_val, topk_ratio,
// schedule and reserved blocks count; nothing else does): the reserved ones and the best between them, ties to the
// lower one, ascending. Writes at most n; returns how many.
int best_blocks(const vflow::EngineConfig& budget, const float* shares, int n, int32_t* chosen);

// The selection that no policy can make: each row takes the best_blocks by true attention. It reads all keys, so
// it is a ceiling and no policy; no fields are kept. CPU only.
std::unique_ptr<compile::CpuExecutable> make_oracle(const vflow::EngineConfig& budget, int group, float scale);

}  // namespace vortex::engine
