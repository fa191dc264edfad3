#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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
  int64_t pages = 0;  // physical pages of every tensor
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

// One kernel that a compiled policy runs, as evidence names it.
struct KernelInfo {
  std::string name;
  std::string source_hash;         // SHA-256 of the source it was made from
  std::string binary_hash;         // SHA-256 of the machine code that holds it; empty where a build id names that
  int registers = 0;               // a thread, as the driver counts them; 0 on the CPU
  int local_bytes = 0;             // of a thread's stack: spilled registers are part of it
  int shared_bytes = 0;            // static shared memory of a thread block
  std::optional<int> spill_bytes;  // stored and loaded again by a thread, where the compiler's count is at hand
};

// A policy compiled for one backend: the face that both have in common. It takes host memory wherever the kernels run,
// so that whoever asks what a policy computes (the oracle's comparison, above all) asks the kernels that decode with
// it. Immutable after compile and safe to share between threads; scratch memory is kept per thread. A Status that is
// not ok is the device's fault (environment) or ours (internal).
class Executable {
 public:
  virtual ~Executable() = default;

  // Runs forward_cache for pages that filled up in this step: `pages` are physical ids, all kv heads of each.
  virtual Status update_pages(const LayerCache& cache, std::span<const int32_t> pages) const = 0;

  // Runs forward_indexer. A row whose pages all fit the budget selects all of them and is not scored. If `scores` is
  // not null it receives [row][max_blocks] float32 scores as top-k saw them (NaN where nothing was computed), or
  // nothing at all where the kernel keeps its scores to itself.
  virtual Status select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                        std::vector<float>* scores = nullptr) const = 0;

  // kv heads that `cache` must have; 0: any number.
  virtual int kv_heads() const = 0;

  // The stages in words, one a line: evidence, and what `explain` prints.
  virtual std::string describe() const = 0;

  // The kernels that run, the one that scores and selects first.
  virtual std::vector<KernelInfo> kernels() const = 0;
};

}  // namespace vortex::compile
