#include "core/engine/cuda/device_pool.h"

#include <numeric>
#include <optional>

#include "base/rng.h"

namespace vortex::engine {
namespace {

constexpr int64_t kAlignment = 256;

int64_t round_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Of K, and of V where there is one.
int64_t kv_page_bytes(const model::ModelConfig& model, int block, cuda::KvType type) {
  return static_cast<int64_t>(model.num_kv_heads) * block * model.head_dim * cuda::kv_type_size(type);
}

int kv_tensors(const model::ModelConfig& model) { return model.latent ? 1 : 2; }

int64_t field_page_bytes(const model::ModelConfig& model, const vflow::Field& field, vflow::Dtype dtype) {
  return static_cast<int64_t>(model.num_kv_heads) * field.shape.size() * vflow::dtype_bytes(dtype);
}

cuda::FillType fill_type_of(vflow::Dtype dtype) {
  switch (dtype) {
    case vflow::Dtype::kFp32:
      return cuda::FillType::fp32;
    case vflow::Dtype::kFp8E4m3:
      return cuda::FillType::fp8_e4m3;
    case vflow::Dtype::kFp8E5m2:
      return cuda::FillType::fp8_e5m2;
    default:
      return cuda::FillType::bf16;
  }
}

cuda::FillType fill_type_of(cuda::KvType type) {
  switch (type) {
    case cuda::KvType::fp8_e4m3:
      return cuda::FillType::fp8_e4m3;
    case cuda::KvType::fp8_e5m2:
      return cuda::FillType::fp8_e5m2;
    case cuda::KvType::fp32:
      return cuda::FillType::fp32;
    default:
      return cuda::FillType::bf16;
  }
}

}  // namespace

std::optional<cuda::KvType> kv_type_of(vflow::Dtype dtype) {
  switch (dtype) {
    case vflow::Dtype::kBf16:
      return cuda::KvType::bf16;
    case vflow::Dtype::kFp8E4m3:
      return cuda::KvType::fp8_e4m3;
    case vflow::Dtype::kFp8E5m2:
      return cuda::KvType::fp8_e5m2;
    case vflow::Dtype::kFp32:
      return cuda::KvType::fp32;
    default:
      return std::nullopt;
  }
}

int64_t device_page_bytes(const model::ModelConfig& model, int block, cuda::KvType type, const vflow::Policy* policy) {
  int64_t bytes = kv_tensors(model) * kv_page_bytes(model, block, type);
  if (policy != nullptr) {
    for (const vflow::Field& field : policy->program.fields) {
      if (!field.builtin) { bytes += field_page_bytes(model, field, policy->config.dtype); }
    }
  }
  return bytes * model.num_layers;
}

Status DevicePool::configure(const model::ModelConfig& model, int block, cuda::KvType type, const vflow::Policy* policy,
                             int pages) {
  block_ = block;
  pages_ = pages;
  type_ = type;
  kv_bytes_ = kv_page_bytes(model, block, type) * pages;
  fields_.clear();
  std::vector<Field> own;
  int64_t layer_bytes = kv_tensors(model) * round_up(kv_bytes_);
  if (policy != nullptr) {
    for (const vflow::Field& field : policy->program.fields) {
      if (field.builtin) { continue; }
      own.push_back(
          {nullptr, fill_type_of(policy->config.dtype), field_page_bytes(model, field, policy->config.dtype)});
      layer_bytes += round_up(own.back().page_bytes * pages);
    }
  }
  const int64_t bytes = layer_bytes * model.num_layers;
  if (static_cast<int64_t>(memory_.bytes()) < bytes) { VORTEX_TRY(memory_.allocate(static_cast<size_t>(bytes))); }
  char* next = memory_.as<char>();
  kv_.assign(static_cast<size_t>(model.num_layers), {});
  for (cuda::KvPool& kv : kv_) {
    char* v = model.latent ? nullptr : next + round_up(kv_bytes_);
    kv = {next, v, type, model.num_kv_heads, block, model.head_dim, 1.0F, 1.0F};
    next += kv_tensors(model) * round_up(kv_bytes_);
    for (Field field : own) {
      field.data = next;
      next += round_up(field.page_bytes * pages);
      fields_.push_back(field);
    }
  }
  field_data_.clear();
  std::vector<cuda::PagedBytes> list;
  for (const Field& field : fields_) {
    field_data_.push_back(field.data);
    list.push_back({field.data, field.page_bytes});
  }
  VORTEX_TRY(field_list_.allocate(list.size() * sizeof(cuda::PagedBytes)));
  VORTEX_TRY(cuda_status(
      cudaMemcpy(field_list_.data(), list.data(), list.size() * sizeof(cuda::PagedBytes), cudaMemcpyHostToDevice),
      "listing the policy's fields"));
  return free_.allocate((static_cast<size_t>(pages) + 1) * sizeof(std::int32_t));
}

void DevicePool::clear() {
  pages_ = 0;
  kv_.clear();
  fields_.clear();
  field_data_.clear();
}

Status DevicePool::free_all(uint64_t scatter_seed, cudaStream_t stream) {
  // The stack is taken from its end: without a seed page 0 goes first.
  std::vector<std::int32_t> free(static_cast<size_t>(pages_) + 1);
  std::iota(free.rbegin() + 1, free.rend(), 0);
  free.back() = pages_;
  if (scatter_seed != 0) {
    Rng rng(stream_key(scatter_seed));
    for (int i = pages_ - 1; i > 0; --i) {
      std::swap(free[static_cast<size_t>(i)], free[rng.below(static_cast<uint64_t>(i) + 1)]);
    }
  }
  VORTEX_TRY(cuda_status(
      cudaMemcpyAsync(free_.data(), free.data(), free.size() * sizeof(std::int32_t), cudaMemcpyHostToDevice, stream),
      "freeing all pages"));
  return cuda_status(cudaStreamSynchronize(stream), "freeing all pages");
}

Status DevicePool::fill_random(cudaStream_t stream) {
  const char* what = "filling the pool";
  const int64_t count = kv_bytes_ / cuda::kv_type_size(type_);
  uint64_t seed = 1;
  for (const cuda::KvPool& kv : kv_) {
    for (void* data : {kv.k, kv.v}) {
      if (data == nullptr) { continue; }
      VORTEX_TRY(cuda_status(cuda::fill_random(data, fill_type_of(type_), count, ++seed, 0.0F, 1.0F, stream), what));
    }
  }
  for (const Field& field : fields_) {
    const int64_t element = field.type == cuda::FillType::fp32 ? 4 : field.type == cuda::FillType::bf16 ? 2 : 1;
    const int64_t values = field.page_bytes * pages_ / element;
    VORTEX_TRY(cuda_status(cuda::fill_random(field.data, field.type, values, ++seed, 0.0F, 1.0F, stream), what));
  }
  return ok_status();
}

Status DevicePool::poison(cudaStream_t stream) {
  return cuda_status(cudaMemsetAsync(memory_.data(), 0xff, memory_.bytes(), stream), "poisoning the pool");
}

compile::CudaLayerCache DevicePool::layer(int index) const {
  const size_t fields = kv_.empty() ? 0 : field_data_.size() / kv_.size();
  return {kv_[static_cast<size_t>(index)],
          fields == 0 ? nullptr : field_data_.data() + static_cast<size_t>(index) * fields};
}

}  // namespace vortex::engine
