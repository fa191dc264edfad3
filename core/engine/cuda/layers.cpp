#include "core/engine/cuda/layers.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/elementwise.h"

namespace vortex::engine {
namespace {

constexpr size_t kScratchAlignment = 256;
constexpr int kLogitAlignment = 8;  // elements, of the sampler
// Of gates and what they gate, computed together: so few that they are in the L2 cache still when SwiGLU reads them.
constexpr int kGatedRows = 1024;

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
  if (c.latent) {
    place(a.q_latent, rows, c.latent->q_rank);
    place(a.queries, rows, model.queries_size());
    place(a.values, rows, model.o_size());
  }
  place(a.gate_up, rows, 2 * c.intermediate_size);
  place(a.inner, rows, c.intermediate_size);
  if (c.qk_norm == model::QkNorm::kAllHeads) { place(a.factors, rows, 1); }
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
  VORTEX_TRY(experts.create(model.source.config, rows));
  VORTEX_TRY(cuda_status(cudaMemset(memory.data(), 0, bytes), "clearing activations"));
  return cuda_status(cudaDeviceSynchronize(), "clearing activations");
}

GemmShape Layers::head_shape(int rows) const {
  const model::ModelConfig& c = model_.source.config;
  return {model_.vocab.count, c.hidden_size, padded_rows(rows), a_.logit_stride, true, false};
}

GemmShape Layers::gate_up_shape(int rows) const {
  const model::ModelConfig& c = model_.source.config;
  return {2 * c.intermediate_size, c.hidden_size, product_rows(rows), c.intermediate_size, false, true};
}

// Rows of gates that are computed together: all, or fewer where that is quicker.
int Layers::gated_rows(int rows) const {
  if (rows <= kGatedRows) { return rows; }
  const double parts = (rows - 1) / kGatedRows * gemms_.seconds(gate_up_shape(kGatedRows)) +
                       gemms_.seconds(gate_up_shape((rows - 1) % kGatedRows + 1));
  return parts < gemms_.seconds(gate_up_shape(rows)) ? kGatedRows : rows;
}

Status Layers::tune(int rows, int head_rows, cudaStream_t stream) {
  const model::ModelConfig& c = model_.source.config;
  const auto tune = [&](const cuda::Bf16* DeviceLayer::*member, const GemmShape& of_member) {
    std::vector<const cuda::Bf16*> weights;
    for (const DeviceLayer& layer : model_.layers) {
      if (layer.*member != nullptr) { weights.push_back(layer.*member); }  // a layer with experts lacks an MLP's
    }
    return weights.empty() ? ok_status() : gemms_.tune(of_member, weights, stream);
  };
  for (const LayerMatrix& matrix : attention_.matrices(model_)) {
    VORTEX_TRY(tune(matrix.weights, shape(matrix.n, matrix.k, rows)));
  }
  VORTEX_TRY(tune(&DeviceLayer::gate_up, gate_up_shape(rows)));
  if (rows > kGatedRows) {
    VORTEX_TRY(tune(&DeviceLayer::gate_up, gate_up_shape(kGatedRows)));
    VORTEX_TRY(tune(&DeviceLayer::gate_up, gate_up_shape((rows - 1) % kGatedRows + 1)));
  }
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

// Adds `update`, summed over ranks, to the residual, and normalises.
Status Layers::add_up(const cuda::Bf16* weight, int rows, cudaStream_t stream) {
  if (link() == nullptr) { return norm(weight, a_.update, 0, rows, stream); }
  if (left_out_ == Stage::kSmall) { return ok_status(); }
  cuda::AllReduceNorm args;
  args.x = a_.update;
  args.residual = a_.residual;
  args.weight = weight;
  args.out = a_.normed;
  args.rows = rows;
  args.width = model_.source.config.hidden_size;
  args.epsilon = static_cast<float>(model_.source.config.rms_norm_eps);
  return link()->reduce_norm(args, stream);
}

Status Layers::attention_inputs(int layer, int rows, const cuda::KvAppend& append, cudaStream_t stream) {
  const DeviceLayer& w = model_.layers[static_cast<size_t>(layer)];
  rows_ = rows;
  VORTEX_TRY(layer == 0 ? norm(w.attention_norm, nullptr, 0, rows, stream) : add_up(w.attention_norm, rows, stream));
  return attention_.inputs(*this, layer, rows, append, stream);
}

Status Layers::attention_outputs(int layer, int rows, const std::uint8_t* active, cudaStream_t stream) {
  const DeviceLayer& w = model_.layers[static_cast<size_t>(layer)];
  VORTEX_TRY(attention_.outputs(*this, layer, rows, stream));
  VORTEX_TRY(add_up(w.mlp_norm, rows, stream));
  return mlp(layer, rows, active, stream);
}

Status Layers::mlp(int layer, int rows, const std::uint8_t* active, cudaStream_t stream) {
  const DeviceLayer& w = model_.layers[static_cast<size_t>(layer)];
  const model::ModelConfig& c = model_.source.config;
  if (c.has_experts(layer)) {
    if (left_out_ == Stage::kProducts) { return ok_status(); }
    return a_.experts.run(w, a_.normed, a_.update, rows, active, active != nullptr, stream);
  }
  const int step = gated_rows(rows);
  for (int first = 0; first < rows; first += step) {
    VORTEX_TRY(multiply(gate_up_shape(std::min(rows - first, step)), w.gate_up,
                        a_.normed + int64_t{first} * c.hidden_size, a_.inner + int64_t{first} * c.intermediate_size,
                        stream));
  }
  return multiply(shape(c.hidden_size, c.intermediate_size, rows), w.down, a_.inner, a_.update, stream);
}

Status Layers::head(int first, int rows, cudaStream_t stream) {
  if (link() == nullptr) {
    VORTEX_TRY(norm(model_.final_norm, a_.update, first, rows, stream));
    return gemms_.run(head_shape(rows), model_.head, a_.normed, a_.logits + model_.vocab.first, nullptr, stream);
  }
  // Ranks add up all rows: of some, only the residual of those that are theirs may be here.
  VORTEX_TRY(add_up(model_.final_norm, rows_, stream));
  const cuda::Bf16* normed = a_.normed + int64_t{first} * model_.source.config.hidden_size;
  VORTEX_TRY(gemms_.run(head_shape(rows), model_.head, normed, a_.logits + model_.vocab.first, nullptr, stream));
  if (model_.vocab.count == model_.source.config.vocab_size) { return ok_status(); }
  return link()->gather(a_.logits, rows, a_.logit_stride, stream);
}

}  // namespace vortex::engine
