// A model's weights on the device.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "core/engine/cuda/device.h"
#include "core/engine/cuda/weights_memory.h"
#include "core/engine/kept_model.h"
#include "core/engine/shard.h"
#include "core/model/model.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/types.h"

namespace vortex::engine {

// The experts of a layer side by side, in their order.
struct DeviceExperts {
  const float* router = nullptr;  // [expert][hidden]; null: the layer has none
  const float* bias = nullptr;    // [expert], or null
  cuda::ExpertWeights gate_up;    // [expert][gate, then up][hidden]
  cuda::ExpertWeights down;       // [expert][hidden][inner]
  cuda::ExpertWeights shared_gate_up;
  cuda::ExpertWeights shared_down;
};

// Matrices are [outputs][inputs], bf16.
struct DeviceLayer {
  const cuda::Bf16* attention_norm = nullptr;
  const cuda::Bf16* qkv = nullptr;       // q, then k, then v; of latent attention the queries' latent, or the
                                         // queries where they have none, then what is cached
  const cuda::Bf16* qkv_bias = nullptr;  // null: none
  const cuda::Bf16* q_norm = nullptr;    // null: none
  const cuda::Bf16* k_norm = nullptr;
  // Latent attention: the queries from their latent (null where they have none), and of each head [kv_rank][nope], what
  // turns its queries round, and [value_dim][kv_rank].
  const cuda::Bf16* queries = nullptr;
  const cuda::Bf16* key_queries = nullptr;
  const cuda::Bf16* values = nullptr;
  const cuda::Bf16* o = nullptr;
  const cuda::Bf16* mlp_norm = nullptr;
  const cuda::Bf16* gate_up = nullptr;  // gate, then up; null in a layer with experts
  const cuda::Bf16* down = nullptr;
  DeviceExperts experts;
};

struct DeviceModel {
  model::Model source;
  DeviceMemory memory;               // what the pointers below point into,
  std::shared_ptr<const char> kept;  // or this, where a keeper holds it
  const cuda::Bf16* embedding = nullptr;
  std::vector<DeviceLayer> layers;
  const cuda::Bf16* final_norm = nullptr;
  ShardRange vocab;                  // rows of the head that are here
  const cuda::Bf16* head = nullptr;  // [vocab.count][hidden]
  const float2* rope = nullptr;      // [position][rotary_dim / 2], (cos, sin)
  // Of the matrices that one decode step reads whatever is chosen, of one expert on top of them, and of all of them.
  int64_t weight_bytes = 0;
  int64_t expert_bytes = 0;
  int64_t matrix_bytes = 0;

  // Elements of a row: queries as they are attended with, one of K and V as it is cached, what the first product of a
  // layer's attention gives, and what the last one takes.
  int q_size() const { return source.config.num_q_heads * source.config.head_dim; }
  int kv_size() const { return source.config.num_kv_heads * source.config.head_dim; }
  int qkv_size() const;
  int o_size() const;
  // Of latent attention: the queries before they are turned round.
  int queries_size() const;
};

// Are the experts of such a checkpoint kept in fp8, as they come? Others are widened to bf16.
bool keeps_fp8(const model::ModelConfig& config);

// Copies the weights to the current device, rounded to bf16 but for experts in fp8, for positions [0, max_context). A
// model without weights (null) takes those of `kept`, which are read where they lie, or gets random ones. Shapes that
// the kernels do not cover are the candidate's fault. With a plan the model is a rank's part (shard_model).
Result<DeviceModel> upload_model(model::Model model, int max_context, cudaStream_t stream,
                                 const KeptModel* kept = nullptr, const ShardPlan* plan = nullptr);

// The same into memory that other processes may map, for all positions that the model knows.
Result<ExportedMemory> export_model(const model::Model& model, cudaStream_t stream);

}  // namespace vortex::engine
