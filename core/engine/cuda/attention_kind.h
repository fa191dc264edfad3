// Kinds of attention on the device: everything in which they differ, as one set of functions, like the CPU's
// (core/engine/attention_kind.h). The loops over prompts and steps (runner.cpp, runner_prompt.cpp), the pool, snapshots
// and policies know no kind; a latent is a pool of one head without V. docs/models.md says how to add one.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/engine/cuda/device_model.h"
#include "kernels/cuda/append.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/prefill.h"

namespace vortex::engine {

class Layers;

// A matrix of a layer that Gemms multiplies with, [n][k].
struct LayerMatrix {
  const cuda::Bf16* DeviceLayer::*weights = nullptr;
  int n = 0;
  int k = 0;
};

// What the way a step is spread over the device may depend on.
struct StepShape {
  bool batch_invariant = true;
  int row_pieces = 4;   // thread blocks that a row may be spread over
  int max_visited = 0;  // blocks of a row
  int multiprocessors = 1;
  float* workspace = nullptr;  // of workspace_floats()
};

struct DeviceAttention {
  std::string_view name;

  // The matrices of a layer's attention, of the output projection too.
  std::vector<LayerMatrix> (*matrices)(const DeviceModel& model);

  // From the normed rows to `q` and the pool. The caller has set the rows, the pool and the table of `append`.
  Status (*inputs)(Layers& layers, int layer, int rows, cuda::KvAppend append, cudaStream_t stream);
  // Floats that attend() needs beside its arguments for steps of up to `rows` rows.
  int64_t (*workspace_floats)(const DeviceModel& model, int rows, const StepShape& shape);
  // Attends: of a decode step, and of a prompt's rows.
  cudaError_t (*attend)(const DeviceModel& model, const cuda::DecodeAttention& args, const StepShape& shape,
                        cudaStream_t stream);
  cudaError_t (*attend_prompt)(const DeviceModel& model, const cuda::PrefillAttention& args, cudaStream_t stream);
  // From what was attended to `update`.
  Status (*outputs)(Layers& layers, int layer, int rows, cudaStream_t stream);
};

extern const DeviceAttention kGroupedOnDevice;
extern const DeviceAttention kLatentOnDevice;

// The model's kind.
const DeviceAttention& device_attention(const model::ModelConfig& config);

}  // namespace vortex::engine
