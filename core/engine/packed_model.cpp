#include "core/engine/packed_model.h"

#include <cmath>
#include <initializer_list>

#include "kernels/cpu/activation.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/prefill_attention.h"
#include "kernels/cpu/rope.h"

namespace vortex::engine {
namespace {

PackedWeights pack(std::initializer_list<const model::Tensor*> stacked) {
  PackedWeights packed;
  packed.k = static_cast<int>(model::cols_of(**stacked.begin()));
  for (const model::Tensor* tensor : stacked) packed.n += static_cast<int>(model::rows_of(*tensor));
  packed.panels.assign(static_cast<size_t>(cpu::packed_size(packed.n, packed.k)), 0);
  std::vector<float> row(static_cast<size_t>(packed.k));
  int n = 0;
  for (const model::Tensor* tensor : stacked) {
    for (int64_t i = 0; i < model::rows_of(*tensor); ++i) {
      model::read_row(*tensor, i, row.data());
      cpu::pack_row(row.data(), n++, packed.k, packed.panels.data());
    }
  }
  return packed;
}

// Vectors one after the other.
std::vector<float> widen(std::initializer_list<const model::Tensor*> vectors) {
  std::vector<float> values;
  for (const model::Tensor* vector : vectors) {
    const size_t begin = values.size();
    values.resize(begin + static_cast<size_t>(model::cols_of(*vector)));
    model::read_row(*vector, 0, &values[begin]);
  }
  return values;
}

PackedLayer pack_layer(const model::LayerWeights& weights, const model::ModelConfig& config) {
  PackedLayer layer;
  layer.attention_norm = widen({&weights.attention_norm});
  layer.q = pack({&weights.q});
  layer.kv = pack({&weights.k, &weights.v});
  if (config.qkv_bias) {
    layer.q_bias = widen({&weights.q_bias});
    layer.kv_bias = widen({&weights.k_bias, &weights.v_bias});
  }
  if (config.qk_norm) {
    layer.q_norm = widen({&weights.q_norm});
    layer.k_norm = widen({&weights.k_norm});
  }
  layer.o = pack({&weights.o});
  layer.mlp_norm = widen({&weights.mlp_norm});
  layer.gate_up = pack({&weights.gate, &weights.up});
  layer.down = pack({&weights.down});
  return layer;
}

int64_t bytes_of(const PackedWeights& weights) {
  return static_cast<int64_t>(weights.panels.size() * sizeof(cpu::Bf16));
}

void add_bias(float* row, const std::vector<float>& bias) {
  for (size_t i = 0; i < bias.size(); ++i) row[i] += bias[i];
}

// Norms and rotates `heads` consecutive heads of one token.
void finish_heads(const PackedModel& model, float* heads, int count, const std::vector<float>& norm, int position) {
  const int dim = model.source.config.head_dim;
  const auto angles = static_cast<size_t>(position) * static_cast<size_t>(dim / 2);
  for (int head = 0; head < count; ++head) {
    float* values = heads + static_cast<int64_t>(head) * dim;
    if (!norm.empty()) {
      cpu::rms_norm(values, norm.data(), dim, static_cast<float>(model.source.config.rms_norm_eps), values);
    }
    cpu::rope_rotate(values, dim, &model.cosines[angles], &model.sines[angles]);
  }
}

void norm_rows(const PackedModel& model, const float* x, int rows, const std::vector<float>& weight, float* out) {
  const int hidden = model.source.config.hidden_size;
  for (int row = 0; row < rows; ++row) {
    const int64_t at = static_cast<int64_t>(row) * hidden;
    cpu::rms_norm(x + at, weight.data(), hidden, static_cast<float>(model.source.config.rms_norm_eps), out + at);
  }
}

// x += W input, with `scratch` for the product.
void add_product(const PackedWeights& w, const float* input, const Rows& rows, std::vector<float>& scratch,
                 cpu::ThreadPool* pool) {
  cpu::gemm(input, w.k, rows.count, w.view(), scratch.data(), w.n, pool);
  const int64_t size = static_cast<int64_t>(rows.count) * w.n;
  for (int64_t i = 0; i < size; ++i) rows.x[i] += scratch[static_cast<size_t>(i)];
}

size_t times(int rows, int size) { return static_cast<size_t>(rows) * static_cast<size_t>(size); }

}  // namespace

Result<PackedModel> pack_model(model::Model model, int max_context) {
  const model::ModelConfig& config = model.config;
  if (config.head_dim % 16 != 0 || config.head_dim > cpu::kMaxPrefillHeadDim ||
      config.num_q_heads / config.num_kv_heads > cpu::kMaxPrefillGroup) {
    return candidate_error(
        "the CPU engine needs a head_dim that is a multiple of 16 up to " + std::to_string(cpu::kMaxPrefillHeadDim) +
        " and at most " + std::to_string(cpu::kMaxPrefillGroup) + " query heads a kv head, not " +
        std::to_string(config.head_dim) + " and " + std::to_string(config.num_q_heads / config.num_kv_heads));
  }
  PackedModel packed;
  const model::Weights& weights = *model.weights;
  for (const model::LayerWeights& layer : weights.layers) packed.layers.push_back(pack_layer(layer, config));
  packed.final_norm = widen({&weights.final_norm});
  packed.head = pack({&weights.head});
  const int half = config.head_dim / 2;
  const std::vector<double> frequencies = model::rotary_frequencies(config);
  packed.cosines.resize(times(max_context, half));
  packed.sines.resize(times(max_context, half));
  for (int position = 0; position < max_context; ++position) {
    const size_t at = times(position, half);
    cpu::rope_angles(position, frequencies.data(), half, &packed.cosines[at], &packed.sines[at]);
  }
  packed.weight_bytes = bytes_of(packed.head);
  for (const PackedLayer& layer : packed.layers) {
    for (const PackedWeights* w : {&layer.q, &layer.kv, &layer.o, &layer.gate_up, &layer.down}) {
      packed.weight_bytes += bytes_of(*w);
    }
  }
  packed.source = std::move(model);
  return packed;
}

LayerScratch::LayerScratch(const PackedModel& model, int rows)
    : normed(times(rows, model.source.config.hidden_size)),
      kv(times(rows, 2 * model.kv_size())),
      gate_up(times(rows, 2 * model.source.config.intermediate_size)),
      inner(times(rows, model.source.config.intermediate_size)) {}

float attention_scale(const model::ModelConfig& config) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
}

void embed(const PackedModel& model, const int32_t* tokens, int count, float* x) {
  const int64_t hidden = model.source.config.hidden_size;
  for (int i = 0; i < count; ++i) model::read_row(model.source.weights->embedding, tokens[i], x + i * hidden);
}

void attention_inputs(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
                      cpu::ThreadPool* pool) {
  const model::ModelConfig& config = model.source.config;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  norm_rows(model, rows.x, rows.count, weights.attention_norm, scratch.normed.data());
  cpu::gemm(scratch.normed.data(), config.hidden_size, rows.count, weights.q.view(), q, weights.q.n, pool);
  cpu::gemm(scratch.normed.data(), config.hidden_size, rows.count, weights.kv.view(), scratch.kv.data(), weights.kv.n,
            pool);
  for (int row = 0; row < rows.count; ++row) {
    float* q_row = q + times(row, weights.q.n);
    float* kv_row = &scratch.kv[times(row, weights.kv.n)];
    add_bias(q_row, weights.q_bias);
    add_bias(kv_row, weights.kv_bias);
    finish_heads(model, q_row, config.num_q_heads, weights.q_norm, rows.positions[row]);
    finish_heads(model, kv_row, config.num_kv_heads, weights.k_norm, rows.positions[row]);
  }
}

void attention_outputs(const PackedModel& model, int layer, const Rows& rows, const float* attended,
                       LayerScratch& scratch, cpu::ThreadPool* pool) {
  const int inner = model.source.config.intermediate_size;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  add_product(weights.o, attended, rows, scratch.normed, pool);
  norm_rows(model, rows.x, rows.count, weights.mlp_norm, scratch.normed.data());
  cpu::gemm(scratch.normed.data(), weights.gate_up.k, rows.count, weights.gate_up.view(), scratch.gate_up.data(),
            2 * inner, pool);
  for (int row = 0; row < rows.count; ++row) {
    const float* gate = &scratch.gate_up[times(row, 2 * inner)];
    cpu::swiglu(gate, gate + inner, inner, &scratch.inner[times(row, inner)]);
  }
  add_product(weights.down, scratch.inner.data(), rows, scratch.normed, pool);
}

void head_logits(const PackedModel& model, const float* x, int rows, LayerScratch& scratch, float* logits,
                 cpu::ThreadPool* pool) {
  norm_rows(model, x, rows, model.final_norm, scratch.normed.data());
  cpu::gemm(scratch.normed.data(), model.head.k, rows, model.head.view(), logits, model.head.n, pool);
}

}  // namespace vortex::engine
