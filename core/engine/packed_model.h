#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/engine/kept_model.h"
#include "core/model/model.h"
#include "core/model/weights.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/unit.h"

namespace vortex::engine {

// One or more weight matrices over the same input, stacked by output and repacked in bf16.
struct PackedWeights {
  int n = 0;
  int k = 0;
  const cpu::Bf16* panels = nullptr;
  cpu::PackedMatrix view() const { return {panels, n, k}; }
};

struct PackedLayer {
  std::span<const float> attention_norm;
  PackedWeights q;
  PackedWeights kv;               // k, then v
  std::span<const float> q_bias;  // [q size]; empty when the architecture has none
  std::span<const float> kv_bias;
  std::span<const float> q_norm;  // [head_dim]; empty when the architecture has none
  std::span<const float> k_norm;
  PackedWeights o;
  std::span<const float> mlp_norm;
  PackedWeights gate_up;  // gate, then up
  PackedWeights down;
};

// A model as the CPU kernels want it. Weights are bf16 (wider checkpoints are rounded), everything else float32. All
// units read the same arrays.
struct PackedModel {
  model::Model source;
  cpu::Unit unit = cpu::Unit::kFloat32;  // of products and of prompts' attention
  std::shared_ptr<const char> memory;  // what the arrays below lie in, the embedding too where `source` has no weights
  model::Tensor embedding;             // [vocab, hidden], as the checkpoint has it
  std::vector<PackedLayer> layers;
  std::span<const float> final_norm;
  PackedWeights head;
  std::span<const float> cosines;  // [position][head_dim / 2]
  std::span<const float> sines;
  int64_t weight_bytes = 0;  // read by one decode step, whatever the batch

  int q_size() const { return source.config.num_q_heads * source.config.head_dim; }
  int kv_size() const { return source.config.num_kv_heads * source.config.head_dim; }
};

// Repacks `model` for positions [0, max_context). Models whose shape the kernels do not cover are the candidate's
// fault. A model without weights (null) takes those of `kept`, which are read where they lie. A bfloat16 unit becomes
// the model's arithmetic; one that this machine lacks is the environment's fault.
Result<PackedModel> pack_model(model::Model model, int max_context, const KeptModel* kept = nullptr,
                               cpu::Unit unit = cpu::Unit::kFloat32);

// Repacks `model` into an image that other processes may map, for all positions that it knows.
Result<HostImage> pack_image(const model::Model& model);

// Intermediate values of `rows` tokens inside one layer.
struct LayerScratch {
  LayerScratch(const PackedModel& model, int rows);
  std::vector<float> normed;       // [rows][hidden]
  std::vector<float> kv;           // [rows][2 * kv size]
  std::vector<float> gate_up;      // [rows][2 * intermediate]
  std::vector<float> inner;        // [rows][intermediate]
  std::vector<cpu::Bf16> rounded;  // of a bfloat16 unit's products; empty for float32
};

// 1 / sqrt(head_dim).
float attention_scale(const model::ModelConfig& config);

// Rows of activations: x is [rows][hidden] and positions [rows]. Each row's result depends on that row alone.
struct Rows {
  float* x = nullptr;
  const int32_t* positions = nullptr;
  int count = 0;
};

void embed(const PackedModel& model, const int32_t* tokens, int count, float* x);

// Norm, projections, biases, QK-norm and rotary embedding: fills q [rows][q size] and scratch.kv (k, then v, of each
// row).
void attention_inputs(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
                      cpu::ThreadPool* pool);

// Output projection of `attended` [rows][q size], residual, norm, MLP, residual: x is updated in place.
void attention_outputs(const PackedModel& model, int layer, const Rows& rows, const float* attended,
                       LayerScratch& scratch, cpu::ThreadPool* pool);

// Final norm and head: logits [rows][vocab].
void head_logits(const PackedModel& model, const float* x, int rows, LayerScratch& scratch, float* logits,
                 cpu::ThreadPool* pool);

}  // namespace vortex::engine
