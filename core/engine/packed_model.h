#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/engine/cpu_ranks.h"
#include "core/engine/kept_model.h"
#include "core/model/model.h"
#include "core/model/weights.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/unit.h"

namespace vortex::engine {

struct AttentionKind;

// One or more weight matrices over the same input, stacked by output and repacked in bf16.
struct PackedWeights {
  int n = 0;
  int k = 0;
  const cpu::Bf16* panels = nullptr;
  bool small_pages = false;  // as PackedMatrix has it
  cpu::PackedMatrix view() const { return {panels, n, k, small_pages}; }
  int64_t bytes() const { return cpu::packed_size(n, k) * static_cast<int64_t>(sizeof(cpu::Bf16)); }
};

struct PackedMlp {
  PackedWeights gate_up;  // gate, then up
  PackedWeights down;
  int64_t bytes() const { return gate_up.bytes() + down.bytes(); }
};

// What a layer has not is empty.
struct PackedLayer {
  std::span<const float> attention_norm;
  PackedWeights q;
  PackedWeights kv;               // k, then v; of latent attention the latent, then its rotated part
  std::span<const float> q_bias;  // [q size]
  std::span<const float> kv_bias;
  std::span<const float> q_norm;  // [head_dim]; of latent attention of the queries' latent and of the cached one
  std::span<const float> k_norm;
  PackedWeights o;

  // Latent attention: what the queries' latent is made with, and of each head [kv_rank][nope] (the keys' matrix turned
  // round, for queries), [nope][kv_rank] and [value_dim][kv_rank].
  PackedWeights q_latent;
  std::vector<PackedWeights> key_queries;
  std::vector<PackedWeights> keys;
  std::vector<PackedWeights> values;

  std::span<const float> mlp_norm;
  PackedMlp mlp;                  // of a layer with experts: the one that every token goes through
  std::span<const float> router;  // [experts][hidden], not rounded
  std::span<const float> router_bias;
  std::vector<PackedMlp> experts;
};

// A model as the CPU kernels want it. Weights are bf16 (wider checkpoints are rounded), everything else float32. All
// units read the same arrays.
struct PackedModel {
  model::Model source;
  const AttentionKind* attention = nullptr;
  cpu::Unit unit = cpu::Unit::kFloat32;  // of products and of prompts' attention
  std::shared_ptr<const char> memory;  // what the arrays below lie in, the embedding too where `source` has no weights
  model::Tensor embedding;             // [vocab, hidden], as the checkpoint has it
  std::vector<PackedLayer> layers;
  std::span<const float> final_norm;
  PackedWeights head;
  std::span<const float> cosines;  // [position][rotary_dim / 2]
  std::span<const float> sines;
  std::shared_ptr<const CpuRank> rank;  // of a model that is spread over several; null: it is all here
  int64_t weight_bytes = 0;  // read by one decode step, whatever the batch; experts come on top as they are touched

  // Elements of a token's queries as policies see them and as the cache is attended with them.
  int q_size() const { return source.config.num_q_heads * source.config.head_dim; }
  // Rows of the head that are here.
  int head_rows() const { return rank != nullptr ? rank->plan.vocab.count : source.config.vocab_size; }
};

// Repacks `model` for positions [0, max_context). Models whose shape the kernels do not cover are the candidate's
// fault. A model without weights (null) takes those of `kept`, which are read where they lie. A bfloat16 unit becomes
// the model's arithmetic; one that this machine lacks is the environment's fault. Of a model that is spread over ranks
// `model` is the part of one (shard_model), and `rank` says which.
Result<PackedModel> pack_model(model::Model model, int max_context, const KeptModel* kept = nullptr,
                               cpu::Unit unit = cpu::Unit::kFloat32, std::shared_ptr<const CpuRank> rank = nullptr);

// Repacks `model` into an image that other processes may map, for all positions that it knows.
Result<HostImage> pack_image(const model::Model& model);

// Intermediate values of `rows` tokens inside one layer.
struct LayerScratch {
  LayerScratch(const PackedModel& model, int rows);
  std::vector<float> normed;       // [rows][hidden]
  std::vector<float> kv;           // [rows][cached_values]
  std::vector<float> gate_up;      // [rows][2 * mlp_width]
  std::vector<float> inner;        // [rows][mlp_width]
  std::vector<cpu::Bf16> rounded;  // of a bfloat16 unit's products; empty for float32

  // Latent attention.
  std::vector<float> q_latent;  // [rows][q_rank]
  std::vector<float> queries;   // [rows][heads][nope + rope]
  std::vector<float> attended;  // [rows][heads][value_dim]

  // Experts.
  std::vector<float> gathered;  // [rows * experts a token][hidden]: the rows of each expert side by side
  std::vector<float> answered;  // what they make of them, and behind it [rows][hidden] of the shared expert
  int64_t expert_bytes = 0;     // of weights of experts that were touched, since this was made
};

// What q.k is multiplied by before the softmax (core/model/model.h, softmax_scale).
float attention_scale(const model::ModelConfig& config);

// Rows of activations: x is [rows][hidden] and positions [rows]. Each row's result depends on that row alone.
struct Rows {
  float* x = nullptr;
  const int32_t* positions = nullptr;
  int count = 0;
};

void embed(const PackedModel& model, const int32_t* tokens, int count, float* x);

// Final norm and head: logits [rows][vocab].
void head_logits(const PackedModel& model, const float* x, int rows, LayerScratch& scratch, float* logits,
                 cpu::ThreadPool* pool);

// What layers are made of.

// out[row] = norm of x[row], [rows][hidden].
void norm_rows(const PackedModel& model, const float* x, int rows, std::span<const float> weight, float* out);

// A matrix of activations, `stride` elements between rows.
template <typename T>
struct Strided {
  T* data = nullptr;
  int64_t stride = 0;
};

// out[row] = W input[row] on the model's unit, for `rows` rows.
void multiply(const PackedModel& model, const PackedWeights& w, Strided<const float> input, int rows,
              Strided<float> out, LayerScratch& scratch, cpu::ThreadPool* pool);

// Products that do not depend on each other, made together.
struct Multiplication {
  const PackedWeights* w = nullptr;
  Strided<const float> input;
  int rows = 0;
  Strided<float> out;
};
void multiply_all(const PackedModel& model, std::span<const Multiplication> products, LayerScratch& scratch,
                  cpu::ThreadPool* pool);

// Of a model that is spread over ranks: x becomes the sum of all ranks' x. Throws RanksEnded.
void sum_ranks(const PackedModel& model, std::span<float> x);

// x[row] += W input[row], summed over ranks, with input [rows][k]. Overwrites scratch.normed.
void add_product(const PackedModel& model, const PackedWeights& w, const float* input, const Rows& rows,
                 LayerScratch& scratch, cpu::ThreadPool* pool);

}  // namespace vortex::engine
