#include "core/engine/cuda/layers.h"

#include <vector>

#include "kernels/cuda/elementwise.h"

namespace vortex::engine {
namespace {

constexpr size_t kScratchAlignment = 256;
constexpr int kLogitAlignment = 8;  // elements, of the sampler

size_t round_up(size_t bytes) { return (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment; }

// Points the arrays into `base`; gives the bytes used.
size_t lay_out(Activations& a, char* base, const DeviceModel& model, size_t rows, size_t head_rows) {
  const model::ModelConfig& c = model.source.config;
  size_t used = 0;
  const auto place = [&](auto*& pointer, size_t count, int width) {
    using Element = std::remove_reference_t<decltype(*pointer)>;
    pointer = base == nullptr ? nullptr : reinterpret_cast<Element*>(base + used);
    used += round_up(count * static_cast<size_t>(width) * sizeof(Element));
  };
  for (auto member : {&Activations::residual, &Activations::update, &Activations::normed}) {
    place(a.*member, rows, c.hidden_size);
  }
  place(a.qkv, rows, model.qkv_size());
  place(a.q, rows, model.q_size());
  place(a.attended, rows, model.q_size());
  place(a.gate_up, rows, 2 * c.intermediate_size);
  place(a.inner, rows, c.intermediate_size);
  place(a.logits, head_rows, a.logit_stride);
  return used;
}

}  // namespace

Status Activations::create(const DeviceModel& model, int rows, int head_rows) {
  const auto padded = static_cast<size_t>(padded_rows(rows));
  const auto padded_head = static_cast<size_t>(padded_rows(head_rows));
  const int vocab = model.source.config.vocab_size;
  logit_stride = (vocab + kLogitAlignment - 1) / kLogitAlignment * kLogitAlignment;
  const size_t bytes = lay_out(*this, nullptr, model, padded, padded_head);
  VORTEX_TRY(memory.allocate(bytes));
  lay_out(*this, memory.as<char>(), model, padded, padded_head);
  VORTEX_TRY(cuda_status(cudaMemset(memory.data(), 0, bytes), "clearing activations"));
  return cuda_status(cudaDeviceSynchronize(), "clearing activations");
}

GemmShape Layers::head_shape(int rows) const {
  const model::ModelConfig& c = model_.source.config;
  return {c.vocab_size, c.hidden_size, padded_rows(rows), a_.logit_stride, true, false};
}

GemmShape Layers::gate_up_shape(int rows) const {
  const model::ModelConfig& c = model_.source.config;
  return {2 * c.intermediate_size, c.hidden_size, padded_rows(rows), c.intermediate_size, false, true};
}

Status Layers::tune(int rows, int head_rows, cudaStream_t stream) {
  const model::ModelConfig& c = model_.source.config;
  const auto tune = [&](const cuda::Bf16* DeviceLayer::*member, const GemmShape& of_member) {
    std::vector<const cuda::Bf16*> weights;
    for (const DeviceLayer& layer : model_.layers) { weights.push_back(layer.*member); }
    return gemms_.tune(of_member, weights, stream);
  };
  VORTEX_TRY(tune(&DeviceLayer::qkv, shape(model_.qkv_size(), c.hidden_size, rows)));
  VORTEX_TRY(tune(&DeviceLayer::o, shape(c.hidden_size, model_.q_size(), rows)));
  VORTEX_TRY(tune(&DeviceLayer::gate_up, gate_up_shape(rows)));
  VORTEX_TRY(tune(&DeviceLayer::down, shape(c.hidden_size, c.intermediate_size, rows)));
  const cuda::Bf16* const head[] = {model_.head};
  return gemms_.tune(head_shape(head_rows), head, stream);
}

Status Layers::multiply(const GemmShape& shape, const cuda::Bf16* w, const cuda::Bf16* x, cuda::Bf16* y,
                        cudaStream_t stream) {
  if (left_out_ == Stage::kProducts) { return ok_status(); }
  return gemms_.run(shape, w, x, y, a_.gate_up, stream);
}

Status Layers::norm(const cuda::Bf16* weight, const cuda::Bf16* x, int first, int rows, cudaStream_t stream) {
  if (left_out_ == Stage::kSmall) { return ok_status(); }
  const int width = model_.source.config.hidden_size;
  const auto offset = static_cast<int64_t>(first) * width;
  cuda::ResidualNorm args;
  args.residual = a_.residual + offset;
  args.x = x == nullptr ? nullptr : x + offset;
  args.weight = weight;
  args.out = a_.normed;
  args.num_tokens = rows;
  args.width = width;
  args.epsilon = static_cast<float>(model_.source.config.rms_norm_eps);
  return cuda_status(cuda::residual_rms_norm(args, stream), "normalising");
}

Status Layers::attention_inputs(int layer, int rows, cuda::KvAppend append, cudaStream_t stream) {
  const DeviceLayer& w = model_.layers[static_cast<size_t>(layer)];
  const model::ModelConfig& c = model_.source.config;
  VORTEX_TRY(norm(w.attention_norm, layer == 0 ? nullptr : a_.update, 0, rows, stream));
  VORTEX_TRY(multiply(shape(model_.qkv_size(), c.hidden_size, rows), w.qkv, a_.normed, a_.qkv, stream));
  if (left_out_ == Stage::kSmall) { return ok_status(); }
  append.qkv = a_.qkv;
  append.bias = w.qkv_bias;
  append.q_norm = w.q_norm;
  append.k_norm = w.k_norm;
  append.epsilon = static_cast<float>(c.rms_norm_eps);
  append.rope = model_.rope;
  append.num_tokens = rows;
  append.num_q_heads = c.num_q_heads;
  append.q = a_.q;
  return cuda_status(cuda::append_kv(append, stream), "appending keys and values");
}

Status Layers::attention_outputs(int layer, int rows, cudaStream_t stream) {
  const DeviceLayer& w = model_.layers[static_cast<size_t>(layer)];
  const model::ModelConfig& c = model_.source.config;
  VORTEX_TRY(multiply(shape(c.hidden_size, model_.q_size(), rows), w.o, a_.attended, a_.update, stream));
  VORTEX_TRY(norm(w.mlp_norm, a_.update, 0, rows, stream));
  VORTEX_TRY(multiply(gate_up_shape(rows), w.gate_up, a_.normed, a_.inner, stream));
  return multiply(shape(c.hidden_size, c.intermediate_size, rows), w.down, a_.inner, a_.update, stream);
}

Status Layers::head(int first, int rows, cudaStream_t stream) {
  VORTEX_TRY(norm(model_.final_norm, a_.update, first, rows, stream));
  return gemms_.run(head_shape(rows), model_.head, a_.normed, a_.logits, nullptr, stream);
}

}  // namespace vortex::engine
