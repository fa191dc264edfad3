#include "core/compile/cuda/cuda_executable.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/sha256.h"
#include "core/compile/cuda/build.h"
#include "core/compile/cuda/device/params.h"
#include "core/compile/cuda/generate.h"
#include "core/compile/stages.h"
#include "kernels/cuda/select.h"

namespace vortex::compile {

namespace {

constexpr int kMaxCluster = 8;  // blocks, what every device of compute capability 9.0 takes

Error cuda_error(const std::string& what, cudaError_t error) {
  return environment_error(what + ": " + cudaGetErrorName(error) + ": " + cudaGetErrorString(error));
}

// A kernel library and the policy's constants on the current device.
class Loaded {
 public:
  Loaded() = default;
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  ~Loaded() {
    if (library_ != nullptr) { cudaLibraryUnload(library_); }
    cudaFree(constants_);
  }

  Status load(const GeneratedPolicy& generated, const CudaBinary& binary) {
    int device = 0;
    const auto attribute = [&](cudaDeviceAttr which, int& value) {
      return cudaDeviceGetAttribute(&value, which, device);
    };
    for (const auto& [what, error] :
         {std::pair{"no CUDA device", cudaGetDevice(&device)},
          std::pair{"reading the device's attributes",
                    attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, shared_limit_)},
          std::pair{"reading the device's attributes", attribute(cudaDevAttrMultiProcessorCount, multiprocessors_)},
          std::pair{"loading a policy's kernels",
                    cudaLibraryLoadData(&library_, binary.cubin.data(), nullptr, nullptr, 0, nullptr, nullptr, 0)},
          std::pair{"finding vortex_select", cudaLibraryGetKernel(&select_, library_, "vortex_select")},
          std::pair{"finding vortex_update",
                    generated.updates ? cudaLibraryGetKernel(&update_, library_, "vortex_update") : cudaSuccess}}) {
      if (error != cudaSuccess) { return cuda_error(what, error); }
    }
    VORTEX_TRY(allow_shared(select_, device, select_attributes_, select_limit_));
    if (generated.updates) { VORTEX_TRY(allow_shared(update_, device, update_attributes_, update_limit_)); }
    return upload(generated.constants);
  }

  cudaKernel_t select() const { return select_; }
  cudaKernel_t update() const { return update_; }
  int select_limit() const { return select_limit_; }
  int update_limit() const { return update_limit_; }
  const cudaFuncAttributes& select_attributes() const { return select_attributes_; }
  const cudaFuncAttributes& update_attributes() const { return update_attributes_; }
  int multiprocessors() const { return multiprocessors_; }
  const float* constants() const { return constants_; }

 private:
  // Lets a kernel use all the shared memory that its static part leaves.
  Status allow_shared(cudaKernel_t kernel, int device, cudaFuncAttributes& attributes, int& limit) const {
    cudaError_t error = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
    if (error == cudaSuccess) {
      limit = shared_limit_ - static_cast<int>(attributes.sharedSizeBytes);
      error = cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, limit, device);
    }
    return error == cudaSuccess ? ok_status() : Status(cuda_error("preparing a policy's kernels", error));
  }

  Status upload(const std::vector<float>& constants) {
    if (constants.empty()) { return ok_status(); }
    void* memory = nullptr;
    const size_t bytes = constants.size() * sizeof(float);
    cudaError_t error = cudaMalloc(&memory, bytes);
    constants_ = static_cast<float*>(memory);
    if (error == cudaSuccess) { error = cudaMemcpy(memory, constants.data(), bytes, cudaMemcpyHostToDevice); }
    return error == cudaSuccess ? ok_status() : Status(cuda_error("uploading a policy's constants", error));
  }

  cudaLibrary_t library_ = nullptr;
  cudaKernel_t select_ = nullptr;
  cudaKernel_t update_ = nullptr;
  float* constants_ = nullptr;
  int shared_limit_ = 0;
  int select_limit_ = 0;
  int update_limit_ = 0;
  cudaFuncAttributes select_attributes_{};
  cudaFuncAttributes update_attributes_{};
  int multiprocessors_ = 0;
};

class PolicyKernels final : public CudaExecutable {
 public:
  PolicyKernels(vflow::Policy policy, int kv_heads, GeneratedPolicy generated, CudaBinary binary)
      : policy_(std::move(policy)), kv_heads_(kv_heads), generated_(std::move(generated)), binary_(std::move(binary)) {}

  Status load() { return loaded_.load(generated_, binary_); }

  std::size_t workspace_bytes(int requests, int max_blocks) const override {
    return static_cast<std::size_t>(requests * kv_heads_ * row_floats(max_blocks)) * sizeof(float);
  }

  int max_selected(int max_blocks) const override {
    const std::uint64_t known = most_.load(std::memory_order_relaxed);
    if (static_cast<int>(known >> 32) == max_blocks) { return static_cast<int>(known & 0xffffffffU); }
    int most = 1;
    for (int n = 1; n <= max_blocks; ++n) { most = std::max(most, most_chosen(n)); }
    const auto high = static_cast<std::uint64_t>(max_blocks) << 32;
    most_.store(high | static_cast<std::uint64_t>(most), std::memory_order_relaxed);
    return most;
  }

  cudaError_t update_range(const CudaLayerCache& cache, const CudaBatch& batch, const std::int32_t* first_tokens,
                           int max_new_blocks, cudaStream_t stream) const override {
    if (first_tokens == nullptr || max_new_blocks < 0) { return cudaErrorInvalidValue; }
    if (max_new_blocks == 0 || !generated_.updates) { return cudaSuccess; }
    device::Params params{};
    const cudaError_t error = fill(cache, batch, params);
    if (error != cudaSuccess) { return error; }
    params.first_tokens = first_tokens;
    params.max_new_blocks = max_new_blocks;
    if (generated_.update_bytes > loaded_.update_limit()) { return cudaErrorNotSupported; }
    const int64_t blocks = static_cast<int64_t>(batch.num_requests) * max_new_blocks * kv_heads_;
    if (blocks > INT32_MAX) { return cudaErrorInvalidValue; }
    return launch(loaded_.update(), static_cast<int>(blocks), 1, generated_.update_bytes, params, stream);
  }

  cudaError_t select(const CudaLayerCache& cache, const CudaBatch& batch, const CudaSelection& selection,
                     cudaStream_t stream) const override {
    device::Params params{};
    const cudaError_t error = fill(cache, batch, params);
    if (error != cudaSuccess) { return error; }
    const int64_t group = policy_.program.geometry.group;
    const bool valid = batch.q != nullptr && batch.num_q_heads == group * kv_heads_ && selection.blocks != nullptr &&
                       selection.counts != nullptr && selection.max_selected >= max_selected(batch.table.max_blocks) &&
                       (batch.workspace != nullptr || row_floats(batch.table.max_blocks) == 0);
    if (!valid) { return cudaErrorInvalidValue; }
    params.q = reinterpret_cast<const unsigned short*>(batch.q);
    params.blocks = selection.blocks;
    params.counts = selection.counts;
    params.max_selected = selection.max_selected;
    const int keys = static_cast<int>(generated_.key_bytes * batch.table.max_blocks) + 16;
    params.completes_blocks = batch.completes_blocks && generated_.updates ? 1 : 0;
    const int completing = params.completes_blocks != 0 ? generated_.update_bytes : 0;
    const int shared = std::max(generated_.once_bytes + std::max(generated_.teams_bytes, keys), completing);
    if (shared > loaded_.select_limit()) { return cudaErrorNotSupported; }
    const int rows = batch.num_requests * kv_heads_;
    const int blocks = blocks_of_row(rows, batch.table.max_blocks);
    return launch(loaded_.select(), rows * blocks, blocks, shared, params, stream);
  }

  int kv_heads() const override { return kv_heads_; }

  std::optional<CudaScores> scores(int max_blocks) const override {
    if (!generated_.scores_offset) { return std::nullopt; }
    return CudaScores{*generated_.scores_offset * max_blocks, row_floats(max_blocks)};
  }

  std::string describe() const override {
    const vflow::Dtype dtype = policy_.config.dtype;
    const vflow::Program& program = policy_.program;
    std::string text = "vortex_select: " + std::to_string(kPolicyThreads) + " threads a row, " +
                       std::to_string(generated_.pages_at_a_time) + " blocks at a time\n" +
                       describe_stages(program.indexer, plan_stages(program.indexer), dtype);
    if (generated_.updates) {
      text += "vortex_update: " + std::to_string(kPolicyThreads) + " threads a block and kv head\n" +
              describe_stages(program.cache, plan_stages(program.cache), dtype);
    }
    return text;
  }

  std::vector<KernelInfo> kernels() const override {
    std::vector<KernelInfo> result = {kernel_info("vortex_select", loaded_.select_attributes())};
    if (generated_.updates) { result.push_back(kernel_info("vortex_update", loaded_.update_attributes())); }
    return result;
  }

  const std::string& source() const override { return binary_.source; }

 private:
  KernelInfo kernel_info(const std::string& name, const cudaFuncAttributes& attributes) const {
    KernelInfo kernel = describe_kernel(name, attributes);
    kernel.source_hash = binary_.hash;
    kernel.binary_hash = sha256_hex(binary_.cubin);
    for (const KernelResources& resources : binary_.resources) {
      if (resources.name == name) { kernel.spill_bytes = resources.spill_bytes(); }
    }
    return kernel;
  }

  int64_t row_floats(int max_blocks) const {
    return (generated_.work_floats * max_blocks + generated_.row_floats + 3) / 4 * 4;
  }

  // An upper bound of the blocks that a row of n blocks attends.
  int most_chosen(int n) const {
    const RowBudget budget = row_budget(policy_.config, n);
    if (budget.everything_fits) { return n; }
    int64_t reserved = budget.bos + budget.eos;
    int64_t chosen = 0;
    for (const int k : generated_.own_ks) {
      reserved = k > 0 ? policy_.config.reserved_bos + policy_.config.reserved_eos : reserved;
      chosen += k > 0 ? k : budget.middle;
    }
    chosen += reserved;
    return static_cast<int>(std::min<int64_t>(n, chosen));
  }

  // Several thread blocks share a row, as a cluster, while every one of them can have a multiprocessor of its own.
  int blocks_of_row(int rows, int max_blocks) const {
    int blocks = 1;
    while (blocks < kMaxCluster && 2 * blocks * rows <= loaded_.multiprocessors() &&
           2 * blocks * generated_.pages_at_a_time <= max_blocks) {
      blocks *= 2;
    }
    return blocks;
  }

  cudaError_t fill(const CudaLayerCache& cache, const CudaBatch& batch, device::Params& params) const {
    const vflow::Geometry& geometry = policy_.program.geometry;
    const cuda::KvPool& kv = cache.kv;
    if (kv.num_kv_heads != kv_heads_ || kv.block != geometry.block_size || kv.head_dim != geometry.head_dim ||
        dtype_of(kv.type) != policy_.config.kv_dtype || batch.num_requests < 0 || batch.table.max_blocks <= 0 ||
        batch.table.max_blocks > cuda::kMaxSelectableBlocks || batch.table.pages == nullptr ||
        batch.table.lengths == nullptr) {
      return cudaErrorInvalidValue;
    }
    int own = 0;
    for (size_t i = 0; i < policy_.program.fields.size(); ++i) {
      const vflow::Field& field = policy_.program.fields[i];
      params.fields[i] = !field.builtin ? cache.fields[own++] : field.name == "v" ? kv.v : kv.k;
    }
    params.pages = batch.table.pages;
    params.lengths = batch.table.lengths;
    params.active = batch.active;
    params.constants = loaded_.constants();
    params.workspace = static_cast<float*>(batch.workspace);
    params.row_floats = row_floats(batch.table.max_blocks);
    params.max_blocks = batch.table.max_blocks;
    params.num_requests = batch.num_requests;
    params.num_kv_heads = kv_heads_;
    params.layer = batch.layer;
    params.topk_val = policy_.config.topk_val;
    params.k_scale = kv.k_scale;
    params.v_scale = kv.v_scale;
    return cudaSuccess;
  }

  static cudaError_t launch(cudaKernel_t kernel, int blocks, int cluster, int shared_bytes, device::Params& params,
                            cudaStream_t stream) {
    if (blocks == 0) { return cudaSuccess; }
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(kPolicyThreads);
    config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
    config.stream = stream;
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
    config.attrs = &attribute;
    config.numAttrs = cluster > 1 ? 1 : 0;
    void* arguments[] = {&params};
    return cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), arguments);
  }

  vflow::Policy policy_;
  int kv_heads_ = 1;
  GeneratedPolicy generated_;
  CudaBinary binary_;
  Loaded loaded_;
  mutable std::atomic<std::uint64_t> most_{0};  // the last answer of max_selected, with its question
};

}  // namespace

KernelInfo describe_kernel(std::string name, const cudaFuncAttributes& attributes) {
  KernelInfo kernel;
  kernel.name = std::move(name);
  kernel.registers = attributes.numRegs;
  kernel.local_bytes = static_cast<int>(attributes.localSizeBytes);
  kernel.shared_bytes = static_cast<int>(attributes.sharedSizeBytes);
  return kernel;
}

Result<std::unique_ptr<CudaExecutable>> load_generated(const vflow::Policy& policy, const vflow::ModelGeometry& model,
                                                       GeneratedPolicy generated, CudaBinary binary) {
  const int kv_heads = policy.program.dialect == vflow::Dialect::kMla ? 1 : model.num_kv_heads;
  auto result = std::make_unique<PolicyKernels>(policy, kv_heads, std::move(generated), std::move(binary));
  VORTEX_TRY(result->load());
  return std::unique_ptr<CudaExecutable>(std::move(result));
}

Result<std::unique_ptr<CudaExecutable>> compile_cuda(const vflow::Policy& policy, const vflow::ModelGeometry& model,
                                                     const CudaTarget& target) {
  const vflow::Policy own = for_target(policy, target);
  VORTEX_ASSIGN(GeneratedPolicy generated, generate_cuda(own));
  VORTEX_ASSIGN(CudaBinary binary, build_generated(generated, target));
  return load_generated(own, model, std::move(generated), std::move(binary));
}

}  // namespace vortex::compile
