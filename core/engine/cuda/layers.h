// The dense parts of a forward pass on the device: what surrounds attention in each layer.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "core/engine/cuda/device.h"
#include "core/engine/cuda/device_model.h"
#include "core/engine/cuda/gemm.h"
#include "core/engine/cuda/stages.h"
#include "kernels/cuda/append.h"

namespace vortex::engine {

// Activations of up to `rows` tokens, and of the logits of up to `head_rows`.
struct Activations {
  DeviceMemory memory;
  cuda::Bf16* residual = nullptr;  // [row][hidden]
  cuda::Bf16* update = nullptr;    // [row][hidden] what the next norm adds to the residual
  cuda::Bf16* normed = nullptr;    // [row][hidden]
  cuda::Bf16* qkv = nullptr;       // [row][q, k, v]
  cuda::Bf16* q = nullptr;         // [row][q head][head_dim]
  cuda::Bf16* attended = nullptr;  // [row][q head][head_dim]
  cuda::Bf16* gate_up = nullptr;   // [row][2 * intermediate]
  cuda::Bf16* inner = nullptr;     // [row][intermediate]
  float* logits = nullptr;         // [row][logit_stride]
  int logit_stride = 0;

  Status create(const DeviceModel& model, int rows, int head_rows);
};

class Layers {
 public:
  Layers(const DeviceModel& model, Gemms& gemms, Activations& activations)
      : model_(model), gemms_(gemms), a_(activations) {}

  // Chooses matrix-product algorithms for steps of `rows` tokens, and for logits of `head_rows`. Synchronises.
  Status tune(int rows, int head_rows, cudaStream_t stream);

  // Norm and QKV projection of layer `layer`, then `append` (whose rows, pool and table the caller has set): fills q.
  Status attention_inputs(int layer, int rows, cuda::KvAppend append, cudaStream_t stream);
  // Output projection of `attended`, norm and MLP.
  Status attention_outputs(int layer, int rows, cudaStream_t stream);
  // Logits of rows [first, first + rows), put into rows 0...
  Status head(int first, int rows, cudaStream_t stream);

  // For profiles: nothing of this stage is enqueued.
  void leave_out(std::optional<Stage> stage) { left_out_ = stage; }

 private:
  Status multiply(const GemmShape& shape, const cuda::Bf16* w, const cuda::Bf16* x, cuda::Bf16* y, cudaStream_t stream);

  static GemmShape shape(int n, int k, int rows) { return {n, k, padded_rows(rows), n, false, false}; }
  GemmShape gate_up_shape(int rows) const;
  GemmShape head_shape(int rows) const;
  Status norm(const cuda::Bf16* weight, const cuda::Bf16* x, int first, int rows, cudaStream_t stream);

  const DeviceModel& model_;
  Gemms& gemms_;
  Activations& a_;
  std::optional<Stage> left_out_;
};

}  // namespace vortex::engine
