// The MLP of a layer with experts on the device.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "core/engine/cuda/device.h"
#include "core/engine/cuda/device_model.h"
#include "kernels/cuda/experts.h"

namespace vortex::engine {

// Do the kernels cover the model's experts, for calls of up to `rows` rows? If not, the error is the candidate's.
Status check_experts(const model::ModelConfig& config, int rows);

// What the experts of one layer after the other are computed in.
class ExpertBuffers {
 public:
  // For up to `rows` rows at a time; of a model without experts nothing is allocated.
  Status create(const model::ModelConfig& config, int rows);

  // out[row] = MLP(x[row]), x and out [rows][hidden]. Rows with active[row] 0 (null: none has) touch no expert and
  // become zeros. With `counts` the experts that are touched are counted.
  Status run(const DeviceLayer& layer, const cuda::Bf16* x, cuda::Bf16* out, int rows, const std::uint8_t* active,
             bool counts, cudaStream_t stream) const;

  // Experts touched since the counter was last cleared, over all layers.
  Status clear_touched(cudaStream_t stream) const;
  Result<int64_t> touched() const;  // of work that is done

 private:
  cuda::RouteExperts route_of(const DeviceLayer& layer) const;
  cuda::ExpertMlp mlp_of(const DeviceLayer& layer) const;

  model::ModelConfig config_;
  int blocks_ = 0;
  DeviceMemory memory_;
  cuda::ExpertPlan plan_;
  float* logits_ = nullptr;
  float* answers_ = nullptr;
  cuda::Bf16* inner_rows_ = nullptr;
  std::uint32_t* arrived_ = nullptr;
  unsigned long long* touched_ = nullptr;
};

}  // namespace vortex::engine
