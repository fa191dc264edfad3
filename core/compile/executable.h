#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"

namespace vortex::cpu {
class ThreadPool;
}

namespace vortex::compile {

// One paged tensor of one layer, physical layout [page][kv head][rows][cols], contiguous. Not owned.
struct PagedTensor {
  void* data = nullptr;
  vflow::Dtype dtype = vflow::Dtype::kBf16;
  int kv_heads = 0;
  int rows = 0;
  int cols = 0;
};

// What one layer keeps per page: k and v ([block_size, head_dim]) and the policy's own fields, in Program order. An MLA
// program's latent is `k`; its `v` is not read.
struct LayerCache {
  PagedTensor k;
  PagedTensor v;
  std::vector<PagedTensor> fields;
};

// A batch of rows to select pages for, one decode step of one layer. Row = request * kv_heads + kv head.
struct IndexerBatch {
  int layer = 0;
  int requests = 0;
  const float* q = nullptr;              // [request][kv head][group][head_dim], after RoPE; used rounded to bf16
  const int32_t* block_table = nullptr;  // [request][max_blocks] physical page of each logical block
  int max_blocks = 0;
  const int32_t* seq_lens = nullptr;  // [request] tokens in the cache, the current one included
  cpu::ThreadPool* pool = nullptr;    // CPU only: spreads rows over its threads; null runs on the calling thread
};

// Chosen pages of every row: logical block positions in ascending order; the true last block always comes last.
struct Selection {
  int stride = 0;
  std::vector<int32_t> blocks;  // [row][stride]
  std::vector<int32_t> counts;  // [row]
};

// A policy compiled for one backend. Immutable after compile and safe to share between threads; scratch memory is kept
// per thread.
class Executable {
 public:
  virtual ~Executable() = default;

  // Runs forward_cache for pages that filled up in this step: `pages` are physical ids, all kv heads of each.
  virtual void update_pages(const LayerCache& cache, std::span<const int32_t> pages) const = 0;

  // Runs forward_indexer. A row whose pages all fit the budget selects all of them and is not scored. If `scores` is
  // not null it receives [row][max_blocks] float32 scores as top-k saw them (NaN where nothing was computed).
  virtual void select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                      std::vector<float>* scores = nullptr) const = 0;

  // The stages in words, one a line: evidence, and what `explain` prints.
  virtual std::string describe() const = 0;
};

// Compiles for the CPU: stages run tile by tile with the widest SIMD that this machine has; results do not depend on
// the instruction set or the number of threads.
Result<std::unique_ptr<Executable>> compile_cpu(const vflow::Policy& policy);

}  // namespace vortex::compile
