#include "core/engine/packer.h"

#include "core/engine/attention_kind.h"
#include "core/engine/mlp.h"
#include "kernels/cpu/rope.h"

namespace vortex::engine {
namespace {

constexpr size_t kCacheLine = 64;  // a cache line, as wide as the widest vector registers

}  // namespace

Packer::Packer(PackedModel& model, int positions)
    : model_(model), config_(model.source.config), positions_(positions) {}

size_t Packer::walk(char* base, const model::Weights* weights) {
  base_ = base;
  used_ = 0;
  weights_ = weights;
  model_.layers.assign(static_cast<size_t>(config_.num_layers), {});
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const model::LayerWeights none;
    const model::LayerWeights& from = weights != nullptr ? weights->layers[i] : none;
    PackedLayer& to = model_.layers[i];
    floats(to.attention_norm, {&from.attention_norm}, config_.hidden_size);
    model_.attention->pack(*this, from, to);
    floats(to.mlp_norm, {&from.mlp_norm}, config_.hidden_size);
    pack_mlp(*this, from, static_cast<int>(i), to);
  }
  const model::Tensor absent;
  floats(model_.final_norm, {weights != nullptr ? &weights->final_norm : &absent}, config_.hidden_size);
  matrix(model_.head, {weights != nullptr ? &weights->head : &absent}, model_.head_rows(), config_.hidden_size);
  rotary();
  return used_;
}

template <typename T>
T* Packer::take(size_t count) {
  T* at = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
  used_ += (count * sizeof(T) + kCacheLine - 1) / kCacheLine * kCacheLine;
  return at;
}

void Packer::floats(std::span<const float>& out, Tensors tensors, int64_t size) {
  auto* values = take<float>(static_cast<size_t>(size));
  if (values == nullptr) { return; }
  out = {values, static_cast<size_t>(size)};
  if (weights_ == nullptr) { return; }
  for (const model::Tensor* tensor : tensors) {
    for (int64_t row = 0; row < model::rows_of(*tensor); ++row) {
      model::read_row(*tensor, row, values);
      values += model::cols_of(*tensor);
    }
  }
}

void Packer::matrix(PackedWeights& out, Tensors stacked, int n, int k) {
  const auto* tensor = stacked.begin();
  int64_t row = 0;
  matrix(out, n, k, [&](int, float* values) {
    if (row == model::rows_of(**tensor)) {
      ++tensor;
      row = 0;
    }
    model::read_row(**tensor, row++, values);
  });
}

void Packer::matrix(PackedWeights& out, int n, int k, const RowSource& source) {
  auto* panels = take<cpu::Bf16>(static_cast<size_t>(cpu::packed_size(n, k)));
  out = {n, k, panels, panels != nullptr && weights_ == nullptr};  // what is bound was kept: shared memory
  if (!writes()) { return; }
  std::vector<float> row(static_cast<size_t>(k));
  for (int i = 0; i < n; ++i) {
    source(i, row.data());
    cpu::pack_row(row.data(), i, n, k, panels);
  }
}

void Packer::rotary() {
  const int half = config_.rotary_dim() / 2;
  const auto angles = static_cast<size_t>(half);
  const size_t size = static_cast<size_t>(positions_) * angles;
  auto* cosines = take<float>(size);
  auto* sines = take<float>(size);
  if (cosines == nullptr) { return; }
  model_.cosines = {cosines, size};
  model_.sines = {sines, size};
  if (weights_ == nullptr) { return; }
  const std::vector<double> frequencies = model::rotary_frequencies(config_);
  const auto magnitude = static_cast<float>(model::rotary_magnitude(config_));
  for (int position = 0; position < positions_; ++position) {
    const size_t at = static_cast<size_t>(position) * angles;
    cpu::rope_angles(position, frequencies.data(), half, &cosines[at], &sines[at]);
    for (size_t i = at; i < at + angles; ++i) {
      cosines[i] *= magnitude;
      sines[i] *= magnitude;
    }
  }
}

}  // namespace vortex::engine
