// The paged KV pool on the device, with the policy's own fields.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "core/compile/cuda/cuda_executable.h"
#include "core/engine/cuda/device.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"
#include "kernels/cuda/transfer.h"
#include "kernels/cuda/types.h"

namespace vortex::engine {

// bf16, fp32 or fp8; nothing for other types.
std::optional<cuda::KvType> kv_type_of(vflow::Dtype dtype);

// The size of one page over all layers: K, V and the policy's own fields.
int64_t device_page_bytes(const model::ModelConfig& model, int block, cuda::KvType type, const vflow::Policy* policy);

class DevicePool {
 public:
  // Lays out `pages` pages, in the memory that it has where that is enough. What was there is lost.
  Status configure(const model::ModelConfig& model, int block, cuda::KvType type, const vflow::Policy* policy,
                   int pages);

  // Forgets its pages and keeps its memory for those of the next configure().
  void clear();

  // Every page free, in order, or, with a seed, scattered.
  Status free_all(uint64_t scatter_seed, cudaStream_t stream);

  // K, V and fields hold random values: keys and values as large as a model's are.
  Status fill_random(cudaStream_t stream);
  // All bytes are 0xff: NaN. For tests.
  Status poison(cudaStream_t stream);

  int block() const { return block_; }
  int pages() const { return pages_; }
  size_t bytes() const { return memory_.bytes(); }  // that it keeps, whether pages are laid out or not
  cuda::KvType type() const { return type_; }
  int blocks_for(int64_t tokens) const { return static_cast<int>((tokens + block_ - 1) / block_); }
  compile::CudaLayerCache layer(int index) const;
  std::int32_t* free_pages() const { return free_.as<std::int32_t>(); }
  std::int32_t* free_count() const { return free_.as<std::int32_t>() + pages_; }

  // The policy's own fields of all layers, in device memory, for zero_pages.
  const cuda::PagedBytes* field_list() const { return field_list_.as<cuda::PagedBytes>(); }
  int num_fields() const { return static_cast<int>(fields_.size()); }

 private:
  struct Field {
    void* data = nullptr;
    cuda::FillType type = cuda::FillType::bf16;
    int64_t page_bytes = 0;
  };

  int block_ = 1;
  int pages_ = 0;
  cuda::KvType type_ = cuda::KvType::bf16;
  DeviceMemory memory_;
  DeviceMemory free_;  // [pages] free pages, then their number
  DeviceMemory field_list_;
  std::vector<cuda::KvPool> kv_;   // [layer]
  std::vector<Field> fields_;      // [layer][field]
  std::vector<void*> field_data_;  // [layer][field]
  int64_t kv_bytes_ = 0;           // of K, and of V, of one layer
};

}  // namespace vortex::engine
