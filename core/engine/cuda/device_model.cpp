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

constexpr size_t kAlignment = 256;  // what cuBLASLt's fastest algorithms want

// Lays out and fills the tensors of a model: once without memory, to learn the size, then with it.
class Loader {
 public:
  Loader(DeviceModel& model, cudaStream_t stream) : model_(model), stream_(stream) {}

  Status run(int max_context) {
    VORTEX_TRY(walk(max_context));
    VORTEX_TRY(model_.memory.allocate(used_));
    base_ = model_.memory.as<char>();
    used_ = 0;
    return walk(max_context);
  }

 private:
  using Tensors = std::initializer_list<const model::Tensor*>;

  Status walk(int max_context) {
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
      if (c.qkv_bias)
        VORTEX_TRY(vectors(to.qkv_bias, {&from.q_bias, &from.k_bias, &from.v_bias}, model_.qkv_size(), 0.0F));
      if (c.qk_norm) {
        VORTEX_TRY(vector(to.q_norm, from.q_norm, c.head_dim));
        VORTEX_TRY(vector(to.k_norm, from.k_norm, c.head_dim));
      }
      VORTEX_TRY(matrix(to.o, {&from.o}, c.hidden_size, q));
      VORTEX_TRY(vector(to.mlp_norm, from.mlp_norm, c.hidden_size));
      VORTEX_TRY(matrix(to.gate_up, {&from.gate, &from.up}, 2 * c.intermediate_size, c.hidden_size));
      VORTEX_TRY(matrix(to.down, {&from.down}, c.hidden_size, c.intermediate_size));
    }
    VORTEX_TRY(vector(model_.final_norm, w != nullptr ? w->final_norm : none.mlp_norm, c.hidden_size));
    model_.head = model_.embedding;
    if (!c.tie_word_embeddings) {
      VORTEX_TRY(matrix(model_.head, {at(&model::Weights::head)}, c.vocab_size, c.hidden_size));
    }
    return rope(max_context);
  }

  char* take(size_t bytes) {
    char* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
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
      for (size_t i = 0; i < cols; ++i) rounded[static_cast<size_t>(r) * cols + i] = cpu::float_to_bf16(row[i]);
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
    if (to == nullptr) return ok_status();
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
    if (to == nullptr) return ok_status();
    if (model_.source.weights == nullptr) return fill(to, size, value, 0.0F);
    for (const model::Tensor* tensor : stacked) {
      VORTEX_TRY(copy_tensor(to, *tensor));
      to += model::cols_of(*tensor) * static_cast<int64_t>(sizeof(cuda::Bf16));
    }
    return ok_status();
  }

  Status rope(int max_context) {
    const model::ModelConfig& c = model_.source.config;
    const auto half = static_cast<size_t>(c.head_dim / 2);
    const size_t bytes = static_cast<size_t>(max_context) * half * sizeof(float2);
    char* to = take(bytes);
    model_.rope = reinterpret_cast<const float2*>(to);
    if (to == nullptr) return ok_status();
    std::vector<float2> table(static_cast<size_t>(max_context) * half);
    const std::vector<double> frequencies = model::rotary_frequencies(c);
    std::vector<float> cosines(half);
    std::vector<float> sines(half);
    for (int position = 0; position < max_context; ++position) {
      cpu::rope_angles(position, frequencies.data(), c.head_dim / 2, cosines.data(), sines.data());
      for (size_t i = 0; i < half; ++i) {
        table[static_cast<size_t>(position) * half + i] = make_float2(cosines[i], sines[i]);
      }
    }
    VORTEX_TRY(copy(to, table.data(), bytes));
    return cuda_status(cudaStreamSynchronize(stream_), "copying weights");
  }

  DeviceModel& model_;
  cudaStream_t stream_;
  char* base_ = nullptr;
  size_t used_ = 0;
};

}  // namespace

Result<DeviceModel> upload_model(model::Model model, int max_context, cudaStream_t stream) {
  DeviceModel made;
  made.source = std::move(model);
  VORTEX_TRY(Loader(made, stream).run(max_context));
  const model::ModelConfig& c = made.source.config;
  const int64_t hidden = c.hidden_size;
  const int64_t layer = hidden * made.qkv_size() + hidden * made.q_size() + 3 * hidden * c.intermediate_size;
  made.weight_bytes = 2 * (layer * c.num_layers + hidden * c.vocab_size);
  VORTEX_TRY(cuda_status(cudaStreamSynchronize(stream), "copying weights"));
  return made;
}

}  // namespace vortex::engine
