#include "core/compile/cuda/host_executable.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "core/compile/cuda/build.h"
#include "kernels/cpu/bf16.h"

namespace vortex::compile {

namespace {

constexpr int kPoison = 0xff;  // a NaN in every type that is stored, and a page that nobody has

Status cuda_status(cudaError_t error, const char* what) {
  if (error == cudaSuccess) { return ok_status(); }
  const std::string message = std::string(what) + ": " + cudaGetErrorName(error) + ": " + cudaGetErrorString(error);
  const bool ours = error == cudaErrorInvalidValue || error == cudaErrorNotSupported;
  return ours ? Status(internal_error(message)) : Status(environment_error(message));
}

// Memory on the device.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() { cudaFree(data_); }

  Status allocate(size_t bytes) {
    bytes_ = bytes;
    VORTEX_TRY(cuda_status(cudaMalloc(&data_, std::max<size_t>(bytes, 1)), "memory for a check on the device"));
    return cuda_status(cudaMemset(data_, kPoison, bytes), "preparing a check on the device");
  }
  Status upload(const void* host, size_t bytes) {
    VORTEX_TRY(allocate(bytes));
    return cuda_status(cudaMemcpy(data_, host, bytes, cudaMemcpyHostToDevice), "copying to the device");
  }
  template <typename T>
  Status upload(const std::vector<T>& host) {
    return upload(host.data(), host.size() * sizeof(T));
  }
  Status download(void* host) const {
    return cuda_status(cudaMemcpy(host, data_, bytes_, cudaMemcpyDeviceToHost), "copying from the device");
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

Result<cuda::KvType> kv_type_of(vflow::Dtype dtype) {
  for (const cuda::KvType type : {cuda::KvType::bf16, cuda::KvType::fp8_e4m3, cuda::KvType::fp8_e5m2}) {
    if (dtype_of(type) == dtype) { return type; }
  }
  return internal_error("CUDA kernels keep k and v as bfloat16 or fp8, not " + std::string(vflow::dtype_name(dtype)));
}

// A layer's pages on the device.
class DevicePages {
 public:
  explicit DevicePages(const LayerCache& cache) : cache_(cache) {
    for_tensors([&](const PagedTensor& tensor) { tensors_.push_back(&tensor); });
  }

  Status upload() {
    VORTEX_ASSIGN(type_, kv_type_of(cache_.k.dtype));
    for (const PagedTensor* tensor : tensors_) {
      VORTEX_TRY(buffers_.emplace_back().upload(tensor->data, bytes_of(*tensor)));
    }
    for (size_t i = 2; i < buffers_.size(); ++i) { fields_.push_back(buffers_[i].as<void>()); }
    return ok_status();
  }
  Status download() const {
    for (size_t i = 0; i < tensors_.size(); ++i) { VORTEX_TRY(buffers_[i].download(tensors_[i]->data)); }
    return ok_status();
  }

  CudaLayerCache cache() const {
    cuda::KvPool kv;
    kv.k = buffers_[0].as<void>();
    kv.v = buffers_[1].as<void>();
    kv.type = type_;
    kv.num_kv_heads = cache_.k.kv_heads;
    kv.block = cache_.k.rows;
    kv.head_dim = cache_.k.cols;
    return {kv, fields_.data()};
  }

 private:
  template <typename Body>
  void for_tensors(const Body& body) const {
    body(cache_.k);
    body(cache_.v);
    for (const PagedTensor& field : cache_.fields) { body(field); }
  }
  size_t bytes_of(const PagedTensor& tensor) const {
    const int64_t elements = cache_.pages * tensor.kv_heads * tensor.rows * tensor.cols;
    return static_cast<size_t>(elements * vflow::dtype_bytes(tensor.dtype));
  }

  const LayerCache& cache_;
  std::vector<const PagedTensor*> tensors_;
  std::vector<Buffer> buffers_;
  std::vector<void*> fields_;
  cuda::KvType type_ = cuda::KvType::bf16;
};

// What one selection reads and writes beside the pages.
class DeviceBatch {
 public:
  DeviceBatch(const vflow::Policy& policy, const CudaExecutable& executable, int kv_heads, const IndexerBatch& batch)
      : policy_(policy), executable_(executable), kv_heads_(kv_heads), batch_(batch) {}

  Status upload() {
    const auto requests = static_cast<size_t>(batch_.requests);
    const auto slots = requests * static_cast<size_t>(batch_.max_blocks);
    VORTEX_TRY(queries_.upload(rounded_queries()));
    VORTEX_TRY(table_.upload(batch_.block_table, slots * sizeof(int32_t)));
    VORTEX_TRY(lengths_.upload(batch_.seq_lens, requests * sizeof(int32_t)));
    VORTEX_TRY(budgets_.upload(budgets()));
    VORTEX_TRY(workspace_.allocate(executable_.workspace_bytes(batch_.requests, batch_.max_blocks)));
    max_selected_ = executable_.max_selected(batch_.max_blocks);
    VORTEX_TRY(blocks_.allocate(rows() * static_cast<size_t>(max_selected_) * sizeof(int32_t)));
    return counts_.allocate(rows() * sizeof(int32_t));
  }

  CudaBatch batch() const {
    CudaBatch batch;
    batch.layer = batch_.layer;
    batch.num_requests = batch_.requests;
    batch.num_q_heads = kv_heads_ * policy_.program.geometry.group;
    batch.q = queries_.as<cuda::Bf16>();
    batch.table = {table_.as<int32_t>(), lengths_.as<int32_t>(), batch_.max_blocks};
    batch.workspace = workspace_.as<void>();
    batch.budgets = budgets_.as<int32_t>();
    return batch;
  }
  CudaSelection selection() const { return {blocks_.as<int32_t>(), counts_.as<int32_t>(), max_selected_}; }

  Status read(Selection& selection) const {
    selection.stride = max_selected_;
    selection.blocks.resize(rows() * static_cast<size_t>(max_selected_));
    selection.counts.resize(rows());
    VORTEX_TRY(blocks_.download(selection.blocks.data()));
    VORTEX_TRY(counts_.download(selection.counts.data()));
    const bool valid = std::all_of(selection.counts.begin(), selection.counts.end(),
                                   [&](int32_t count) { return count >= 0 && count <= max_selected_; });
    return valid ? ok_status() : Status(internal_error("a kernel gave an impossible number of selected pages"));
  }

  Status read(std::vector<float>& scores) const {
    scores.clear();
    const std::optional<CudaScores> at = executable_.scores(batch_.max_blocks);
    if (!at) { return ok_status(); }
    const size_t bytes = executable_.workspace_bytes(batch_.requests, batch_.max_blocks);
    std::vector<float> workspace(bytes / sizeof(float));
    VORTEX_TRY(workspace_.download(workspace.data()));
    for (size_t row = 0; row < rows(); ++row) {
      const auto first = workspace.begin() + static_cast<int64_t>(row) * at->row_stride + at->first;
      scores.insert(scores.end(), first, first + batch_.max_blocks);
    }
    return ok_status();
  }

 private:
  size_t rows() const { return static_cast<size_t>(batch_.requests * kv_heads_); }

  std::vector<cpu::Bf16> rounded_queries() const {
    const vflow::Geometry& geometry = policy_.program.geometry;
    std::vector<cpu::Bf16> queries(rows() * static_cast<size_t>(geometry.group * geometry.head_dim));
    std::transform(batch_.q, batch_.q + queries.size(), queries.begin(), cpu::float_to_bf16);
    return queries;
  }

  std::vector<int32_t> budgets() const {
    const int block = policy_.program.geometry.block_size;
    std::vector<int32_t> budgets;
    for (int request = 0; request < batch_.requests; ++request) {
      const int blocks = (batch_.seq_lens[request] + block - 1) / block;
      budgets.push_back(vflow::selected_blocks(policy_.config, blocks));
    }
    return budgets;
  }

  const vflow::Policy& policy_;
  const CudaExecutable& executable_;
  int kv_heads_;
  const IndexerBatch& batch_;
  Buffer queries_, table_, lengths_, budgets_, workspace_, blocks_, counts_;
  int max_selected_ = 0;
};

class HostExecutable final : public Executable {
 public:
  HostExecutable(vflow::Policy policy, std::shared_ptr<const CudaExecutable> executable)
      : policy_(std::move(policy)), executable_(std::move(executable)) {}

  // Every page is the only block of a request of its own.
  Status update_pages(const LayerCache& cache, std::span<const int32_t> pages) const override {
    if (pages.empty()) { return ok_status(); }
    DevicePages device(cache);
    VORTEX_TRY(device.upload());
    Buffer table;
    Buffer lengths;
    Buffer first_tokens;
    VORTEX_TRY(table.upload(pages.data(), pages.size_bytes()));
    VORTEX_TRY(lengths.upload(std::vector<int32_t>(pages.size(), policy_.program.geometry.block_size)));
    VORTEX_TRY(first_tokens.upload(std::vector<int32_t>(pages.size(), 0)));
    CudaBatch batch;
    batch.num_requests = static_cast<int>(pages.size());
    batch.num_q_heads = cache.k.kv_heads * policy_.program.geometry.group;
    batch.table = {table.as<int32_t>(), lengths.as<int32_t>(), 1};
    VORTEX_TRY(cuda_status(executable_->update_range(device.cache(), batch, first_tokens.as<int32_t>(), 1, nullptr),
                           "forward_cache"));
    VORTEX_TRY(cuda_status(cudaStreamSynchronize(nullptr), "forward_cache"));
    return device.download();
  }

  Status select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                std::vector<float>* scores) const override {
    DevicePages device(cache);
    VORTEX_TRY(device.upload());
    DeviceBatch rows(policy_, *executable_, cache.k.kv_heads, batch);
    VORTEX_TRY(rows.upload());
    VORTEX_TRY(
        cuda_status(executable_->select(device.cache(), rows.batch(), rows.selection(), nullptr), "forward_indexer"));
    VORTEX_TRY(cuda_status(cudaStreamSynchronize(nullptr), "forward_indexer"));
    VORTEX_TRY(rows.read(selection));
    if (scores != nullptr) { VORTEX_TRY(rows.read(*scores)); }
    return device.download();
  }

  int kv_heads() const override { return executable_->kv_heads(); }
  std::string describe() const override { return executable_->describe(); }
  std::vector<KernelInfo> kernels() const override { return executable_->kernels(); }

 private:
  vflow::Policy policy_;
  std::shared_ptr<const CudaExecutable> executable_;
};

}  // namespace

std::shared_ptr<const Executable> over_host_memory(const vflow::Policy& policy,
                                                   std::shared_ptr<const CudaExecutable> executable) {
  return std::make_shared<const HostExecutable>(policy, std::move(executable));
}

}  // namespace vortex::compile
