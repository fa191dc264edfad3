#include "core/engine/cuda/device_model.h"

#include <cmath>
#include <string>

#include "core/engine/cuda/staging.h"
#include "core/model/rows.h"
#include "core/model/weights.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/rope.h"
#include "kernels/cuda/transfer.h"

namespace vortex::engine {
namespace {

constexpr size_t kWeightAlignment = 256;  // what cuBLASLt's fastest algorithms want
constexpr float kBiasDeviation = 0.1F;    // of random corrections of experts
constexpr float kFp8Deviation = 64.0F;    // of random fp8 numbers, before they are scaled

// Walks the tensors of a model in their one order: without memory to learn their size, with it to point at them, and to
// fill them where that is asked for.
class Loader {
 public:
  Loader(DeviceModel& model, int positions, cudaStream_t stream)
      : model_(model), positions_(positions), stream_(stream), staging_(stream) {}

  Result<size_t> count() {
    VORTEX_TRY(walk(nullptr, false));
    return used_;
  }
  Status fill(char* base) {
    VORTEX_TRY(walk(base, true));
    return cuda_status(cudaStreamSynchronize(stream_), "copying weights");
  }
  Status bind(const char* base) { return walk(const_cast<char*>(base), false); }  // which is not written to

 private:
  using Tensors = std::vector<const model::Tensor*>;

  Status walk(char* base, bool filling) {
    base_ = base;
    filling_ = filling;
    used_ = 0;
    const model::ModelConfig& c = model_.source.config;
    const model::Weights* w = model_.source.weights.get();
    const model::LayerWeights none;
    model_.layers.assign(static_cast<size_t>(c.num_layers), {});
    const auto at = [&](const model::Tensor model::Weights::*member) { return w != nullptr ? &(w->*member) : nullptr; };
    VORTEX_TRY(matrix(model_.embedding, {at(&model::Weights::embedding)}, c.vocab_size, c.hidden_size));
    for (size_t i = 0; i < model_.layers.size(); ++i) {
      DeviceLayer& to = model_.layers[i];
      const model::LayerWeights& from = w != nullptr ? w->layers[i] : none;
      VORTEX_TRY(vector(to.attention_norm, from.attention_norm, c.hidden_size));
      VORTEX_TRY(c.latent ? latent_attention(to, from) : grouped_attention(to, from));
      VORTEX_TRY(matrix(to.o, {&from.o}, c.hidden_size, model_.o_size()));
      VORTEX_TRY(vector(to.mlp_norm, from.mlp_norm, c.hidden_size));
      VORTEX_TRY(c.has_experts(static_cast<int>(i)) ? experts(to, from) : mlp(to, from));
    }
    VORTEX_TRY(vector(model_.final_norm, w != nullptr ? w->final_norm : none.mlp_norm, c.hidden_size));
    model_.head =
        model_.embedding == nullptr ? nullptr : model_.embedding + int64_t{model_.vocab.first} * c.hidden_size;
    if (!c.tie_word_embeddings) {
      VORTEX_TRY(matrix(model_.head, {at(&model::Weights::head)}, model_.vocab.count, c.hidden_size));
    }
    return rope();
  }

  Status grouped_attention(DeviceLayer& to, const model::LayerWeights& from) {
    const model::ModelConfig& c = model_.source.config;
    VORTEX_TRY(matrix(to.qkv, {&from.q, &from.k, &from.v}, model_.qkv_size(), c.hidden_size));
    if (c.qkv_bias) {
      VORTEX_TRY(vectors(to.qkv_bias, {&from.q_bias, &from.k_bias, &from.v_bias}, model_.qkv_size(), 0.0F));
    }
    if (c.qk_norm == model::QkNorm::kNone) { return ok_status(); }
    const bool all = c.qk_norm == model::QkNorm::kAllHeads;
    VORTEX_TRY(vector(to.q_norm, from.q_norm, all ? model_.q_size() : c.head_dim));
    return vector(to.k_norm, from.k_norm, all ? model_.kv_size() : c.head_dim);
  }

  Status latent_attention(DeviceLayer& to, const model::LayerWeights& from) {
    const model::ModelConfig& c = model_.source.config;
    const model::LatentAttention& l = *c.latent;
    const bool ranked = l.q_rank > 0;
    VORTEX_TRY(matrix(to.qkv, {ranked ? &from.q_latent : &from.q, &from.kv_latent}, model_.qkv_size(), c.hidden_size));
    if (ranked) {
      VORTEX_TRY(vector(to.q_norm, from.q_norm, l.q_rank));
      VORTEX_TRY(matrix(to.queries, {&from.q}, model_.queries_size(), l.q_rank));
    }
    VORTEX_TRY(vector(to.k_norm, from.k_norm, l.kv_rank));
    VORTEX_TRY(of_heads(to.key_queries, from.kv, true));
    return of_heads(to.values, from.kv, false);
  }

  // Of each head's [nope + value_dim][kv_rank] in `tensor` either the keys' rows, turned round, or the values'.
  Status of_heads(const cuda::Bf16*& out, const model::Tensor& tensor, bool keys) {
    const model::ModelConfig& c = model_.source.config;
    const model::LatentAttention& l = *c.latent;
    const auto rows = static_cast<size_t>(keys ? l.nope_dim : l.value_dim);
    const auto rank = static_cast<size_t>(l.kv_rank);
    const size_t count = static_cast<size_t>(c.num_q_heads) * rows * rank;
    char* to = take(count * sizeof(cuda::Bf16));
    out = reinterpret_cast<const cuda::Bf16*>(to);
    if (to == nullptr || !filling_) { return ok_status(); }
    if (model_.source.weights == nullptr) {
      return fill(to, static_cast<int64_t>(count), 0.0F,
                  static_cast<float>(1.0 / std::sqrt(static_cast<double>(rank))));
    }
    std::vector<float> row(rank);
    std::vector<cpu::Bf16> all(count);
    for (size_t i = 0; i < static_cast<size_t>(c.num_q_heads) * rows; ++i) {
      const size_t head = i / rows;
      const size_t in_head = i % rows + (keys ? 0 : static_cast<size_t>(l.nope_dim));
      model::read_row(tensor, static_cast<int64_t>(head * static_cast<size_t>(l.nope_dim + l.value_dim) + in_head),
                      row.data());
      for (size_t r = 0; r < rank; ++r) {
        all[keys ? (head * rank + r) * rows + i % rows : i * rank + r] = cpu::float_to_bf16(row[r]);
      }
    }
    VORTEX_TRY(copy(to, all.data(), all.size() * sizeof(cpu::Bf16)));
    return cuda_status(cudaStreamSynchronize(stream_), "copying weights");
  }

  Status mlp(DeviceLayer& to, const model::LayerWeights& from) {
    const int hidden = model_.source.config.hidden_size;
    const int inner = model_.source.config.intermediate_size;
    VORTEX_TRY(matrix(to.gate_up, {&from.mlp.gate, &from.mlp.up}, 2 * inner, hidden));
    return matrix(to.down, {&from.mlp.down}, hidden, inner);
  }

  Status experts(DeviceLayer& to, const model::LayerWeights& from) {
    const int hidden = model_.source.config.hidden_size;
    const model::Experts& e = *model_.source.config.experts;
    const float deviation = static_cast<float>(1.0 / std::sqrt(static_cast<double>(hidden)));
    VORTEX_TRY(floats(to.experts.router, from.router, int64_t{e.count} * hidden, deviation));
    if (e.bias) { VORTEX_TRY(floats(to.experts.bias, from.router_bias, e.count, kBiasDeviation)); }
    Tensors gates_and_ups;
    Tensors downs;
    for (const model::MlpWeights& expert : from.experts) {
      gates_and_ups.insert(gates_and_ups.end(), {&expert.gate, &expert.up});
      downs.push_back(&expert.down);
    }
    VORTEX_TRY(expert_matrix(to.experts.gate_up, gates_and_ups, e.count * 2 * e.inner, hidden));
    VORTEX_TRY(expert_matrix(to.experts.down, downs, e.count * hidden, e.inner));
    if (e.shared_inner == 0) { return ok_status(); }
    VORTEX_TRY(expert_matrix(to.experts.shared_gate_up, {&from.mlp.gate, &from.mlp.up}, 2 * e.shared_inner, hidden));
    return expert_matrix(to.experts.shared_down, {&from.mlp.down}, hidden, e.shared_inner);
  }

  Status expert_matrix(cuda::ExpertWeights& out, const Tensors& stacked, int rows, int cols) {
    if (!keeps_fp8(model_.source.config)) {
      const cuda::Bf16* values = nullptr;
      VORTEX_TRY(matrix(values, stacked, rows, cols));
      out.values = values;
      return ok_status();
    }
    const int64_t count = int64_t{rows} * cols;
    const int64_t blocks = count / (cuda::kScaleBlock * cuda::kScaleBlock);
    char* to = take(static_cast<size_t>(count));
    char* scales = take(static_cast<size_t>(blocks) * sizeof(float));
    out = {to, reinterpret_cast<const float*>(scales)};
    if (to == nullptr || !filling_) { return ok_status(); }
    if (model_.source.weights == nullptr) {
      const float deviation = static_cast<float>(1.0 / std::sqrt(static_cast<double>(cols))) / kFp8Deviation;
      VORTEX_TRY(fill(to, count, 0.0F, kFp8Deviation, cuda::FillType::fp8_e4m3));
      return fill(scales, blocks, deviation, 0.0F, cuda::FillType::fp32);
    }
    for (const model::Tensor* tensor : stacked) { VORTEX_TRY(copy_fp8(*tensor, to, scales)); }
    return ok_status();
  }

  // Goes on behind what it has copied.
  Status copy_fp8(const model::Tensor& tensor, char*& to, char*& scales) {
    if (tensor.dtype != vflow::Dtype::kFp8E4m3 || tensor.scales == nullptr) {
      return candidate_error("of an fp8 checkpoint the CUDA engine takes experts that are all in fp8",
                             "run it on the CPU: --device cpu");
    }
    VORTEX_TRY(staging_.copy(to, tensor, model::RowForm::kAsStored));
    to += model::rows_of(tensor) * model::cols_of(tensor);
    VORTEX_TRY(staging_.copy(scales, *tensor.scales, model::RowForm::kFloat32));
    scales += model::rows_of(*tensor.scales) * model::cols_of(*tensor.scales) * static_cast<int64_t>(sizeof(float));
    return ok_status();
  }

  // What is not rounded. Where there are no weights, random numbers about 0.
  Status floats(const float*& out, const model::Tensor& tensor, int64_t size, float deviation) {
    char* to = take(static_cast<size_t>(size) * sizeof(float));
    out = reinterpret_cast<const float*>(to);
    if (to == nullptr || !filling_) { return ok_status(); }
    if (model_.source.weights == nullptr) { return fill(to, size, 0.0F, deviation, cuda::FillType::fp32); }
    return staging_.copy(to, tensor, model::RowForm::kFloat32);
  }

  char* take(size_t bytes) {
    char* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
    return at;
  }

  Status copy(char* to, const void* from, size_t bytes) {
    return cuda_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copying weights");
  }

  Status fill(char* to, int64_t count, float centre, float deviation, cuda::FillType type = cuda::FillType::bf16) {
    return cuda_status(cuda::fill_random(to, type, count, used_, centre, deviation, stream_), "making random weights");
  }

  Status matrix(const cuda::Bf16*& out, const Tensors& stacked, int rows, int cols) {
    const int64_t count = static_cast<int64_t>(rows) * cols;
    char* to = take(static_cast<size_t>(count) * sizeof(cuda::Bf16));
    out = reinterpret_cast<const cuda::Bf16*>(to);
    if (to == nullptr || !filling_) { return ok_status(); }
    if (model_.source.weights == nullptr) {
      return fill(to, count, 0.0F, static_cast<float>(1.0 / std::sqrt(static_cast<double>(cols))));
    }
    for (const model::Tensor* tensor : stacked) {
      VORTEX_TRY(staging_.copy(to, *tensor, model::RowForm::kBf16));
      to += model::rows_of(*tensor) * model::cols_of(*tensor) * static_cast<int64_t>(sizeof(cuda::Bf16));
    }
    return ok_status();
  }

  Status vector(const cuda::Bf16*& out, const model::Tensor& tensor, int size) {
    return vectors(out, {&tensor}, size, 1.0F);
  }

  // Vectors one after the other, `size` elements in all; where there are no weights, all are `value`.
  Status vectors(const cuda::Bf16*& out, const Tensors& stacked, int size, float value) {
    char* to = take(static_cast<size_t>(size) * sizeof(cuda::Bf16));
    out = reinterpret_cast<const cuda::Bf16*>(to);
    if (to == nullptr || !filling_) { return ok_status(); }
    if (model_.source.weights == nullptr) { return fill(to, size, value, 0.0F); }
    for (const model::Tensor* tensor : stacked) {
      VORTEX_TRY(staging_.copy(to, *tensor, model::RowForm::kBf16));
      to += model::cols_of(*tensor) * static_cast<int64_t>(sizeof(cuda::Bf16));
    }
    return ok_status();
  }

  Status rope() {
    const model::ModelConfig& c = model_.source.config;
    const auto half = static_cast<size_t>(c.rotary_dim() / 2);
    const size_t bytes = static_cast<size_t>(positions_) * half * sizeof(float2);
    char* to = take(bytes);
    model_.rope = reinterpret_cast<const float2*>(to);
    if (to == nullptr || !filling_) { return ok_status(); }
    std::vector<float2> table(static_cast<size_t>(positions_) * half);
    const std::vector<double> frequencies = model::rotary_frequencies(c);
    std::vector<float> cosines(half);
    std::vector<float> sines(half);
    const auto magnitude = static_cast<float>(model::rotary_magnitude(c));
    for (int position = 0; position < positions_; ++position) {
      cpu::rope_angles(position, frequencies.data(), c.rotary_dim() / 2, cosines.data(), sines.data());
      for (size_t i = 0; i < half; ++i) {
        table[static_cast<size_t>(position) * half + i] = make_float2(cosines[i] * magnitude, sines[i] * magnitude);
      }
    }
    VORTEX_TRY(copy(to, table.data(), bytes));
    return cuda_status(cudaStreamSynchronize(stream_), "copying weights");
  }

  DeviceModel& model_;
  int positions_;
  cudaStream_t stream_;
  Staging staging_;
  char* base_ = nullptr;
  bool filling_ = false;
  size_t used_ = 0;
};

// Of an MLP with so many inner elements, among experts.
int64_t expert_bytes(const model::ModelConfig& c, int inner) {
  const int64_t count = 3 * int64_t{c.hidden_size} * inner;
  return keeps_fp8(c) ? count + count / (cuda::kScaleBlock * cuda::kScaleBlock) * int64_t{sizeof(float)} : 2 * count;
}

// Read by one decode step, whatever is chosen.
int64_t bytes_a_step(const DeviceModel& model) {
  const model::ModelConfig& c = model.source.config;
  const int64_t hidden = c.hidden_size;
  int64_t attention = hidden * model.qkv_size() + hidden * model.o_size();
  if (c.latent) {
    const model::LatentAttention& l = *c.latent;
    attention += int64_t{l.q_rank} * model.queries_size() +
                 int64_t{c.num_q_heads} * l.kv_rank * (int64_t{l.nope_dim} + l.value_dim);
  }
  int64_t bytes = 2 * (hidden * model.vocab.count + attention * c.num_layers);
  for (int layer = 0; layer < c.num_layers; ++layer) {
    bytes += c.has_experts(layer) ? expert_bytes(c, c.experts->shared_inner) +
                                        int64_t{sizeof(float)} * hidden * c.experts->count  // the router
                                  : 2 * 3 * hidden * c.intermediate_size;
  }
  return bytes;
}

void count_bytes(DeviceModel& model) {
  const model::ModelConfig& c = model.source.config;
  model.weight_bytes = bytes_a_step(model);
  model.matrix_bytes = model.weight_bytes;
  if (!c.experts) { return; }
  model.expert_bytes = expert_bytes(c, c.experts->inner);
  for (int layer = 0; layer < c.num_layers; ++layer) {
    if (c.has_experts(layer)) { model.matrix_bytes += c.experts->count * model.expert_bytes; }
  }
}

}  // namespace

bool keeps_fp8(const model::ModelConfig& config) {
  if (!config.experts || config.scale_block.rows != cuda::kScaleBlock || config.scale_block.cols != cuda::kScaleBlock) {
    return false;
  }
  const model::Experts& e = *config.experts;
  const auto fits = [](int size) { return size % cuda::kScaleBlock == 0; };
  return fits(config.hidden_size) && fits(e.inner) && fits(e.shared_inner);
}

int DeviceModel::queries_size() const {
  const model::ModelConfig& c = source.config;
  return c.num_q_heads * (c.latent->nope_dim + c.latent->rope_dim);
}

int DeviceModel::qkv_size() const {
  const model::ModelConfig& c = source.config;
  if (!c.latent) { return q_size() + 2 * kv_size(); }
  return (c.latent->q_rank > 0 ? c.latent->q_rank : queries_size()) + kv_size();
}

int DeviceModel::o_size() const {
  const model::ModelConfig& c = source.config;
  return c.latent ? c.num_q_heads * c.latent->value_dim : q_size();
}

Result<DeviceModel> upload_model(model::Model model, int max_context, cudaStream_t stream, const KeptModel* kept,
                                 const ShardPlan* plan) {
  DeviceModel made;
  made.source = std::move(model);
  made.vocab = plan != nullptr ? plan->vocab : ShardRange{0, made.source.config.vocab_size};
  count_bytes(made);
  if (kept != nullptr && made.source.weights == nullptr) {
    Loader loader(made, made.source.config.max_position_embeddings, stream);
    VORTEX_ASSIGN(const size_t bytes, loader.count());
    if (static_cast<size_t>(kept->weight_bytes) != bytes) {
      return environment_error("the kept weights are " + std::to_string(kept->weight_bytes) + " bytes, not " +
                               std::to_string(bytes) + ": they are another model's");
    }
    made.kept = kept->weights;
    VORTEX_TRY(loader.bind(made.kept.get()));
    return made;
  }
  Loader loader(made, max_context, stream);
  VORTEX_ASSIGN(const size_t bytes, loader.count());
  VORTEX_TRY(made.memory.allocate(bytes));
  VORTEX_TRY(loader.fill(made.memory.as<char>()));
  return made;
}

Result<ExportedMemory> export_model(const model::Model& model, cudaStream_t stream) {
  DeviceModel made;
  made.source = model;
  made.vocab = {0, model.config.vocab_size};
  Loader loader(made, model.config.max_position_embeddings, stream);
  VORTEX_ASSIGN(const size_t bytes, loader.count());
  VORTEX_ASSIGN(ExportedMemory memory, ExportedMemory::make(bytes));
  VORTEX_TRY(loader.fill(static_cast<char*>(memory.data())));
  return memory;
}

}  // namespace vortex::engine
