#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/compile/executable.h"
#include "core/engine/prefix.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"

namespace vortex::engine {

// The size of one page over all layers: K, V and the policy's own fields.
int64_t page_bytes(const model::ModelConfig& model, int block_size, const vflow::Policy* policy);

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

// Consecutive tokens of a prompt.
struct TokenRange {
  int first = 0;
  int count = 0;
};

// Pages of K, V and policy fields of every layer, and which of them are free. Memory is kept when the layout changes.
class KvPool {
 public:
  // Lays out `pages` pages. Frees all pages; their contents are undefined until written.
  Status configure(const model::ModelConfig& model, int block_size, const vflow::Policy* policy, int pages);

  // Every run starts with this, so that one that broke off leaves no page taken.
  void free_all();

  int block_size() const { return block_size_; }
  int pages() const { return pages_; }
  int free_pages() const { return static_cast<int>(free_.size()); }
  int blocks_for(int64_t tokens) const { return static_cast<int>((tokens + block_size_ - 1) / block_size_); }
  const compile::LayerCache& layer(int index) const { return layers_[static_cast<size_t>(index)]; }

  // Takes a free page, whose fields are zeroed so that nothing of an earlier request shows through; there must be one.
  int32_t take();
  void give_back(std::span<const int32_t> pages);

  // Writes what one layer caches of one token (ModelConfig::cached_values), K's heads, then V's, rounded to bf16.
  void append(int layer, int32_t page, int slot, const float* values);
  // Copies what the tokens [first, first + count) of a prompt leave in one layer from `cached`, [head of k, then of v]
  // [tokens][head_dim], into `pages`, those of the whole prompt; or from there to it.
  void store(int layer, std::span<const int32_t> pages, TokenRange range, int tokens, const cpu::Bf16* cached,
             cpu::ThreadPool* threads);
  void load(int layer, std::span<const int32_t> pages, TokenRange range, int tokens, cpu::Bf16* cached,
            cpu::ThreadPool* threads) const;
  // Copies the K and V of a whole prompt into `pages`.
  void fill(const Prefix& prefix, std::span<const int32_t> pages, cpu::ThreadPool* threads);

 private:
  int block_size_ = 1;
  int pages_ = 0;
  std::unique_ptr<std::byte, FreeMemory> memory_;
  int64_t capacity_ = 0;
  std::vector<compile::LayerCache> layers_;
  std::vector<int32_t> free_;  // the last one is taken next
};

}  // namespace vortex::engine
