#include "core/engine/cuda/device_model.h"

#include <cmath>
#include <initializer_list>
#include <string>

#include "core/model/weights.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/rope.h"
#include "kernels/cuda/transfer.h"

namespace vortex::engine {
namespace {

constexpr size_t kWeightAlignment = 256;  // what cuBLASLt's fastest algorithms want

// Walks the tensors of a model in their one order: without memory to learn their size, with it to point at them, and to
// fill them where that is asked for.
class Loader {
 public:
  Loader(DeviceModel& model, int positions, cudaStream_t stream)
      : model_(model), positions_(positions), stream_(stream) {}

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
  using Tensors = std::initializer_list<const model::Tensor*>;

  Status walk(char* base, bool filling) {
    base_ = base;
    filling_ = filling;
    used_ = 0;
    const model::ModelConfig& c = model_.source.config;
    const model::Weights* w = model_.source.weights.get();
    const model::LayerWeights none;
    model_.layers.assign(static_cast<size_t>(c.num_layers), {});
    const int q = model_.q_size();
    const auto at = [&](const model::Tensor model::Weights::*member) { return w != nullptr ? &(w->*member) : nullptr; };
    VORTEX_TRY(matrix(model_.embedding, {at(&model::Weights::embedding)}, c.vocab_size, c.hidden_size));
    for (size_t i = 0; i < model_.layers.size(); ++i) {
      DeviceLayer& to = model_.layers[i];
      const model::LayerWeights& from = w != nullptr ? w->layers[i] : none;
      VORTEX_TRY(vector(to.attention_norm, from.attention_norm, c.hidden_size));
      VORTEX_TRY(matrix(to.qkv, {&from.q, &from.k, &from.v}, model_.qkv_size(), c.hidden_size));
      if (c.qkv_bias) {
        VORTEX_TRY(vectors(to.qkv_bias, {&from.q_bias, &from.k_bias, &from.v_bias}, model_.qkv_size(), 0.0F));
      }
      if (c.qk_norm != model::QkNorm::kNone) {
        VORTEX_TRY(vector(to.q_norm, from.q_norm, c.head_dim));
        VORTEX_TRY(vector(to.k_norm, from.k_norm, c.head_dim));
      }
      VORTEX_TRY(matrix(to.o, {&from.o}, c.hidden_size, q));
      VORTEX_TRY(vector(to.mlp_norm, from.mlp_norm, c.hidden_size));
      VORTEX_TRY(matrix(to.gate_up, {&from.mlp.gate, &from.mlp.up}, 2 * c.intermediate_size, c.hidden_size));
      VORTEX_TRY(matrix(to.down, {&from.mlp.down}, c.hidden_size, c.intermediate_size));
    }
    VORTEX_TRY(vector(model_.final_norm, w != nullptr ? w->final_norm : none.mlp_norm, c.hidden_size));
    model_.head = model_.embedding;
    if (!c.tie_word_embeddings) {
      VORTEX_TRY(matrix(model_.head, {at(&model::Weights::head)}, c.vocab_size, c.hidden_size));
    }
    return rope();
  }

  char* take(size_t bytes) {
    char* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
    return at;
  }

  Status copy(char* to, const void* from, size_t bytes) {
    return cuda_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copying weights");
  }

  // Copies `tensor` to `to` as bf16.
  Status copy_tensor(char* to, const model::Tensor& tensor) {
    const int64_t rows = model::rows_of(tensor);
    const auto cols = static_cast<size_t>(model::cols_of(tensor));
    if (tensor.dtype == vflow::Dtype::kBf16) {
      return copy(to, tensor.data, static_cast<size_t>(rows) * cols * sizeof(cuda::Bf16));
    }
    std::vector<float> row(cols);
    std::vector<cpu::Bf16> rounded(static_cast<size_t>(rows) * cols);
    for (int64_t r = 0; r < rows; ++r) {
      model::read_row(tensor, r, row.data());
      for (size_t i = 0; i < cols; ++i) { rounded[static_cast<size_t>(r) * cols + i] = cpu::float_to_bf16(row[i]); }
    }
    VORTEX_TRY(copy(to, rounded.data(), rounded.size() * sizeof(cpu::Bf16)));
    return cuda_status(cudaStreamSynchronize(stream_), "copying weights");
  }

  Status fill(char* to, int64_t count, float centre, float deviation) {
    return cuda_status(cuda::fill_random(to, cuda::FillType::bf16, count, used_, centre, deviation, stream_),
                       "making random weights");
  }

  Status matrix(const cuda::Bf16*& out, Tensors stacked, int rows, int cols) {
    const int64_t count = static_cast<int64_t>(rows) * cols;
    char* to = take(static_cast<size_t>(count) * sizeof(cuda::Bf16));
    out = reinterpret_cast<const cuda::Bf16*>(to);
    if (to == nullptr || !filling_) { return ok_status(); }
    if (model_.source.weights == nullptr) {
      return fill(to, count, 0.0F, static_cast<float>(1.0 / std::sqrt(static_cast<double>(cols))));
    }
    for (const model::Tensor* tensor : stacked) {
      VORTEX_TRY(copy_tensor(to, *tensor));
      to += model::rows_of(*tensor) * model::cols_of(*tensor) * static_cast<int64_t>(sizeof(cuda::Bf16));
    }
    return ok_status();
  }

  Status vector(const cuda::Bf16*& out, const model::Tensor& tensor, int size) {
    return vectors(out, {&tensor}, size, 1.0F);
  }

  // Vectors one after the other, `size` elements in all; where there are no weights, all are `value`.
  Status vectors(const cuda::Bf16*& out, Tensors stacked, int size, float value) {
    char* to = take(static_cast<size_t>(size) * sizeof(cuda::Bf16));
    out = reinterpret_cast<const cuda::Bf16*>(to);
    if (to == nullptr || !filling_) { return ok_status(); }
    if (model_.source.weights == nullptr) { return fill(to, size, value, 0.0F); }
    for (const model::Tensor* tensor : stacked) {
      VORTEX_TRY(copy_tensor(to, *tensor));
      to += model::cols_of(*tensor) * static_cast<int64_t>(sizeof(cuda::Bf16));
    }
    return ok_status();
  }

  Status rope() {
    const model::ModelConfig& c = model_.source.config;
    const auto half = static_cast<size_t>(c.head_dim / 2);
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
      cpu::rope_angles(position, frequencies.data(), c.head_dim / 2, cosines.data(), sines.data());
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
  char* base_ = nullptr;
  bool filling_ = false;
  size_t used_ = 0;
};

// Read by one decode step.
int64_t bytes_a_step(const DeviceModel& model) {
  const model::ModelConfig& c = model.source.config;
  const int64_t hidden = c.hidden_size;
  const int64_t layer = hidden * model.qkv_size() + hidden * model.q_size() + 3 * hidden * c.intermediate_size;
  return 2 * (layer * c.num_layers + hidden * c.vocab_size);
}

}  // namespace

Result<DeviceModel> upload_model(model::Model model, int max_context, cudaStream_t stream, const KeptModel* kept) {
  DeviceModel made;
  made.source = std::move(model);
  made.weight_bytes = bytes_a_step(made);
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
  Loader loader(made, model.config.max_position_embeddings, stream);
  VORTEX_ASSIGN(const size_t bytes, loader.count());
  VORTEX_ASSIGN(ExportedMemory memory, ExportedMemory::make(bytes));
  VORTEX_TRY(loader.fill(static_cast<char*>(memory.data())));
  return memory;
}

}  // namespace vortex::engine
