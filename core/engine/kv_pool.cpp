#include "core/engine/kv_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "core/engine/attention_kind.h"

namespace vortex::engine {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = 2 << 20;

int64_t round_up(int64_t bytes, int64_t unit = kAlignment) { return (bytes + unit - 1) / unit * unit; }

// Uninitialised memory in huge pages where the system grants them: attended pages lie far apart, and with small ones
// nearly every one of them would miss the translation buffer.
std::byte* allocate(int64_t bytes) {
  const auto size = static_cast<size_t>(round_up(bytes, kHugePage));
  void* memory = std::aligned_alloc(static_cast<size_t>(kHugePage), size);
  if (memory != nullptr) { ::madvise(memory, size, MADV_HUGEPAGE); }
  return static_cast<std::byte*>(memory);
}

// Where a page's rows of one kv head begin.
cpu::Bf16* block(const compile::PagedTensor& tensor, int32_t page, int kv_head) {
  const int64_t index = static_cast<int64_t>(page) * tensor.kv_heads + kv_head;
  return static_cast<cpu::Bf16*>(tensor.data) + index * tensor.rows * tensor.cols;
}

// Bytes of one tensor's share of a page.
int64_t share_bytes(const compile::PagedTensor& tensor) {
  return static_cast<int64_t>(tensor.kv_heads) * tensor.rows * tensor.cols * vflow::dtype_bytes(tensor.dtype);
}

// The tensors of one layer, without memory.
compile::LayerCache layout(const model::ModelConfig& model, int block_size, const vflow::Policy* policy) {
  compile::LayerCache cache = attention_kind(model).layout(model, block_size);
  const int heads = cache.k.kv_heads;
  if (policy == nullptr) { return cache; }
  for (const vflow::Field& field : policy->program.fields) {
    if (field.builtin) { continue; }
    cache.fields.push_back({nullptr, policy->config.dtype, heads, field.shape.rows, field.shape.cols});
  }
  return cache;
}

// Calls body for K, V and each field of a layer.
template <typename Cache, typename Body>
void for_tensors(Cache& cache, const Body& body) {
  body(cache.k);
  body(cache.v);
  for (auto& field : cache.fields) { body(field); }
}

// Of what a layer caches: those of K, then those of V; a latent is one.
int heads_of(const compile::LayerCache& cache) { return cache.k.kv_heads + (cache.v.cols > 0 ? cache.v.kv_heads : 0); }

// Calls body(where they lie in their page, first token, values) for the tokens of `range` of one head, page by page.
template <typename Body>
void for_stretches(const compile::LayerCache& cache, int head, std::span<const int32_t> pages, TokenRange range,
                   const Body& body) {
  const bool key = head < cache.k.kv_heads;
  const compile::PagedTensor& tensor = key ? cache.k : cache.v;
  const int end = range.first + range.count;
  for (int token = range.first; token < end;) {
    const int slot = token % tensor.rows;
    const int count = std::min(tensor.rows - slot, end - token);
    const int32_t page = pages[static_cast<size_t>(token / tensor.rows)];
    body(block(tensor, page, key ? head : head - cache.k.kv_heads) + int64_t{slot} * tensor.cols, token,
         count * tensor.cols);
    token += count;
  }
}

// `cached` is the head's own, [token][cols].
void store_head(const compile::LayerCache& cache, int head, std::span<const int32_t> pages, TokenRange range,
                const cpu::Bf16* cached) {
  for_stretches(cache, head, pages, range, [&](cpu::Bf16* in_page, int token, int values) {
    std::copy_n(cached + int64_t{token} * cache.k.cols, values, in_page);
  });
}

}  // namespace

int64_t page_bytes(const model::ModelConfig& model, int block_size, const vflow::Policy* policy) {
  int64_t bytes = 0;
  const compile::LayerCache cache = layout(model, block_size, policy);
  for_tensors(cache, [&](const compile::PagedTensor& tensor) { bytes += share_bytes(tensor); });
  return bytes * model.num_layers;
}

Status KvPool::configure(const model::ModelConfig& model, int block_size, const vflow::Policy* policy, int pages) {
  const compile::LayerCache cache = layout(model, block_size, policy);
  int64_t layer_bytes = 0;
  for_tensors(cache, [&](const compile::PagedTensor& tensor) { layer_bytes += round_up(share_bytes(tensor) * pages); });
  const int64_t bytes = layer_bytes * model.num_layers;
  if (bytes > capacity_) {
    memory_.reset();
    memory_.reset(allocate(bytes));
    capacity_ = memory_ == nullptr ? 0 : bytes;
  }
  if (memory_ == nullptr) {
    return environment_error("no memory for a KV pool of " + std::to_string(bytes >> 20) + " MiB");
  }
  block_size_ = block_size;
  pages_ = pages;
  std::byte* next = memory_.get();
  layers_.assign(static_cast<size_t>(model.num_layers), cache);
  for (compile::LayerCache& layer : layers_) {
    layer.pages = pages;
    for_tensors(layer, [&](compile::PagedTensor& tensor) {
      tensor.data = next;
      next += round_up(share_bytes(tensor) * pages);
    });
  }
  free_all();
  return ok_status();
}

void KvPool::free_all() {
  free_.clear();
  for (int32_t page = pages_ - 1; page >= 0; --page) { free_.push_back(page); }
}

int32_t KvPool::take() {
  const int32_t page = free_.back();
  free_.pop_back();
  for (compile::LayerCache& layer : layers_) {
    for (compile::PagedTensor& field : layer.fields) {
      const int64_t bytes = share_bytes(field);
      std::memset(static_cast<char*>(field.data) + page * bytes, 0, static_cast<size_t>(bytes));
    }
  }
  return page;
}

void KvPool::give_back(std::span<const int32_t> pages) { free_.insert(free_.end(), pages.rbegin(), pages.rend()); }

void KvPool::append(int layer, int32_t page, int slot, const float* values) {
  const compile::LayerCache& cache = layers_[static_cast<size_t>(layer)];
  for (const compile::PagedTensor* tensor : {&cache.k, &cache.v}) {
    for (int head = 0; tensor->cols > 0 && head < tensor->kv_heads; ++head) {
      cpu::Bf16* out = block(*tensor, page, head) + static_cast<int64_t>(slot) * tensor->cols;
      for (int d = 0; d < tensor->cols; ++d) { out[d] = cpu::float_to_bf16(*values++); }
    }
  }
}

void KvPool::store(int layer, std::span<const int32_t> pages, TokenRange range, int tokens, const cpu::Bf16* cached,
                   cpu::ThreadPool* threads) {
  const compile::LayerCache& cache = layers_[static_cast<size_t>(layer)];
  cpu::parallel_for(threads, heads_of(cache), [&](int64_t begin, int64_t end, int) {
    for (auto head = static_cast<int>(begin); head < end; ++head) {
      store_head(cache, head, pages, range, cached + int64_t{head} * tokens * cache.k.cols);
    }
  });
}

void KvPool::load(int layer, std::span<const int32_t> pages, TokenRange range, int tokens, cpu::Bf16* cached,
                  cpu::ThreadPool* threads) const {
  const compile::LayerCache& cache = layers_[static_cast<size_t>(layer)];
  cpu::parallel_for(threads, heads_of(cache), [&](int64_t begin, int64_t end, int) {
    for (auto head = static_cast<int>(begin); head < end; ++head) {
      for_stretches(cache, head, pages, range, [&](const cpu::Bf16* in_page, int token, int values) {
        std::copy_n(in_page, values, cached + (int64_t{head} * tokens + token) * cache.k.cols);
      });
    }
  });
}

void KvPool::fill(const Prefix& prefix, std::span<const int32_t> pages, cpu::ThreadPool* threads) {
  const int heads = prefix.heads;
  cpu::parallel_for(threads, static_cast<int64_t>(layers_.size()) * heads, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const auto layer = static_cast<int>(i / heads);
      const auto head = static_cast<int>(i % heads);
      store_head(layers_[static_cast<size_t>(layer)], head, pages, {0, prefix.tokens}, prefix.keys(layer, head));
    }
  });
}

}  // namespace vortex::engine
