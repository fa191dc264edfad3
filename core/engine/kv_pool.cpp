#include "core/engine/kv_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

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

// Bytes of one tensor's share of a page.
int64_t share_bytes(const compile::PagedTensor& tensor) {
  return static_cast<int64_t>(tensor.kv_heads) * tensor.rows * tensor.cols * vflow::dtype_bytes(tensor.dtype);
}

// The tensors of one layer, without memory.
compile::LayerCache layout(const model::ModelConfig& model, int block_size, const vflow::Policy* policy) {
  const int heads = model.num_kv_heads;
  compile::LayerCache cache;
  cache.k = {nullptr, vflow::Dtype::kBf16, heads, block_size, model.head_dim};
  cache.v = cache.k;
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
  head_dim_ = model.head_dim;
  kv_heads_ = model.num_kv_heads;
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

cpu::Bf16* KvPool::block(const compile::PagedTensor& tensor, int32_t page, int kv_head) const {
  const int64_t index = static_cast<int64_t>(page) * kv_heads_ + kv_head;
  return static_cast<cpu::Bf16*>(tensor.data) + index * block_size_ * head_dim_;
}

void KvPool::append(int layer, int32_t page, int slot, const float* k, const float* v) {
  const compile::LayerCache& cache = layers_[static_cast<size_t>(layer)];
  for (int head = 0; head < kv_heads_; ++head) {
    cpu::Bf16* k_out = block(cache.k, page, head) + slot * head_dim_;
    cpu::Bf16* v_out = block(cache.v, page, head) + slot * head_dim_;
    for (int d = 0; d < head_dim_; ++d) { k_out[d] = cpu::float_to_bf16(k[head * head_dim_ + d]); }
    for (int d = 0; d < head_dim_; ++d) { v_out[d] = cpu::float_to_bf16(v[head * head_dim_ + d]); }
  }
}

void KvPool::fill(const Prefix& prefix, std::span<const int32_t> pages, cpu::ThreadPool* threads) {
  const auto layers = static_cast<int64_t>(layers_.size());
  cpu::parallel_for(threads, layers * kv_heads_, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      fill_head(prefix, pages, static_cast<int>(i / kv_heads_), static_cast<int>(i % kv_heads_));
    }
  });
}

void KvPool::fill_head(const Prefix& prefix, std::span<const int32_t> pages, int layer, int head) {
  const compile::LayerCache& cache = layers_[static_cast<size_t>(layer)];
  for (int first = 0; first < prefix.tokens; first += block_size_) {
    const int32_t page = pages[static_cast<size_t>(first / block_size_)];
    const int64_t offset = static_cast<int64_t>(first) * head_dim_;
    const auto bytes = static_cast<size_t>(std::min(block_size_, prefix.tokens - first)) *
                       static_cast<size_t>(head_dim_) * sizeof(cpu::Bf16);
    std::memcpy(block(cache.k, page, head), prefix.keys(layer, head) + offset, bytes);
    std::memcpy(block(cache.v, page, head), prefix.values(layer, head) + offset, bytes);
  }
}

}  // namespace vortex::engine
