// A model's weights on the device.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "core/engine/cuda/device.h"
#include "core/engine/cuda/weights_memory.h"
#include "core/engine/kept_model.h"
#include "core/model/model.h"
#include "kernels/cuda/types.h"

namespace vortex::engine {

// Matrices are [outputs][inputs], bf16.
struct DeviceLayer {
  const cuda::Bf16* attention_norm = nullptr;
  const cuda::Bf16* qkv = nullptr;       // q, then k, then v
  const cuda::Bf16* qkv_bias = nullptr;  // null: none
  const cuda::Bf16* q_norm = nullptr;    // null: none
  const cuda::Bf16* k_norm = nullptr;
  const cuda::Bf16* o = nullptr;
  const cuda::Bf16* mlp_norm = nullptr;
  const cuda::Bf16* gate_up = nullptr;  // gate, then up
  const cuda::Bf16* down = nullptr;
};

struct DeviceModel {
  model::Model source;
  DeviceMemory memory;               // what the pointers below point into,
  std::shared_ptr<const char> kept;  // or this, where a keeper holds it
  const cuda::Bf16* embedding = nullptr;
  std::vector<DeviceLayer> layers;
  const cuda::Bf16* final_norm = nullptr;
  const cuda::Bf16* head = nullptr;
  const float2* rope = nullptr;  // [position][head_dim / 2], (cos, sin)
  int64_t weight_bytes = 0;      // of the matrices that one decode step reads

  int q_size() const { return source.config.num_q_heads * source.config.head_dim; }
  int kv_size() const { return source.config.num_kv_heads * source.config.head_dim; }
  int qkv_size() const { return q_size() + 2 * kv_size(); }
};

// Copies the weights to the current device, rounded to bf16, for positions [0, max_context). A model without weights
// (null) takes those of `kept`, which are read where they lie, or gets random ones. Shapes that the kernels do not
// cover are the candidate's fault.
Result<DeviceModel> upload_model(model::Model model, int max_context, cudaStream_t stream,
                                 const KeptModel* kept = nullptr);

// The same into memory that other processes may map, for all positions that the model knows.
Result<ExportedMemory> export_model(const model::Model& model, cudaStream_t stream);

}  // namespace vortex::engine
