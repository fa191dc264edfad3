#include "core/engine/packed_model.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <string>

#include "base/shared_memory.h"
#include "core/engine/cpu_math.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/prefill_attention.h"
#include "kernels/cpu/rope.h"

namespace vortex::engine {
namespace {

constexpr size_t kCacheLine = 64;  // a cache line, as wide as the widest vector registers
constexpr size_t kHugePageBytes = size_t{2} << 20;

size_t times(int rows, int size) { return static_cast<size_t>(rows) * static_cast<size_t>(size); }

// Walks the arrays of a packed model in their one order. Without memory it counts their bytes; with memory it points
// the model at them; with weights it also writes them.
class Packer {
 public:
  using Tensors = std::initializer_list<const model::Tensor*>;

  Packer(PackedModel& model, int positions) : model_(model), config_(model.source.config), positions_(positions) {}

  size_t count() { return walk(nullptr, nullptr); }
  // `base` starts out zeroed.
  void write(char* base, const model::Weights& weights) { walk(base, &weights); }
  void bind(const char* base) { walk(const_cast<char*>(base), nullptr); }  // which is not written to

 private:
  size_t walk(char* base, const model::Weights* weights) {
    base_ = base;
    used_ = 0;
    weights_ = weights;
    model_.layers.assign(static_cast<size_t>(config_.num_layers), {});
    for (size_t i = 0; i < model_.layers.size(); ++i) {
      const model::LayerWeights none;
      layer(model_.layers[i], weights != nullptr ? weights->layers[i] : none);
    }
    const model::Tensor absent;
    floats(model_.final_norm, {weights != nullptr ? &weights->final_norm : &absent}, config_.hidden_size);
    matrix(model_.head, {weights != nullptr ? &weights->head : &absent}, config_.vocab_size, config_.hidden_size);
    rotary();
    return used_;
  }

  void layer(PackedLayer& to, const model::LayerWeights& from) {
    const model::ModelConfig& c = config_;
    floats(to.attention_norm, {&from.attention_norm}, c.hidden_size);
    matrix(to.q, {&from.q}, model_.q_size(), c.hidden_size);
    matrix(to.kv, {&from.k, &from.v}, 2 * model_.kv_size(), c.hidden_size);
    if (c.qkv_bias) {
      floats(to.q_bias, {&from.q_bias}, model_.q_size());
      floats(to.kv_bias, {&from.k_bias, &from.v_bias}, 2 * model_.kv_size());
    }
    if (c.qk_norm) {
      floats(to.q_norm, {&from.q_norm}, c.head_dim);
      floats(to.k_norm, {&from.k_norm}, c.head_dim);
    }
    matrix(to.o, {&from.o}, c.hidden_size, model_.q_size());
    floats(to.mlp_norm, {&from.mlp_norm}, c.hidden_size);
    matrix(to.gate_up, {&from.gate, &from.up}, 2 * c.intermediate_size, c.hidden_size);
    matrix(to.down, {&from.down}, c.hidden_size, c.intermediate_size);
  }

  template <typename T>
  T* take(size_t count) {
    T* at = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (count * sizeof(T) + kCacheLine - 1) / kCacheLine * kCacheLine;
    return at;
  }

  // Vectors one after the other, `size` elements in all.
  void floats(std::span<const float>& out, Tensors vectors, int size) {
    auto* values = take<float>(static_cast<size_t>(size));
    if (values == nullptr) { return; }
    out = {values, static_cast<size_t>(size)};
    if (weights_ == nullptr) { return; }
    for (const model::Tensor* vector : vectors) {
      model::read_row(*vector, 0, values);
      values += model::cols_of(*vector);
    }
  }

  void matrix(PackedWeights& out, Tensors stacked, int n, int k) {
    auto* panels = take<cpu::Bf16>(static_cast<size_t>(cpu::packed_size(n, k)));
    out = {n, k, panels};
    if (panels == nullptr || weights_ == nullptr) { return; }
    std::vector<float> row(static_cast<size_t>(k));
    int at = 0;
    for (const model::Tensor* tensor : stacked) {
      for (int64_t i = 0; i < model::rows_of(*tensor); ++i) {
        model::read_row(*tensor, i, row.data());
        cpu::pack_row(row.data(), at++, k, panels);
      }
    }
  }

  void rotary() {
    const int half = config_.head_dim / 2;
    const size_t size = times(positions_, half);
    auto* cosines = take<float>(size);
    auto* sines = take<float>(size);
    if (cosines == nullptr) { return; }
    model_.cosines = {cosines, size};
    model_.sines = {sines, size};
    if (weights_ == nullptr) { return; }
    const std::vector<double> frequencies = model::rotary_frequencies(config_);
    for (int position = 0; position < positions_; ++position) {
      const size_t at = times(position, half);
      cpu::rope_angles(position, frequencies.data(), half, &cosines[at], &sines[at]);
    }
  }

  PackedModel& model_;
  const model::ModelConfig config_;
  int positions_;
  const model::Weights* weights_ = nullptr;
  char* base_ = nullptr;
  size_t used_ = 0;
};

int64_t bytes_of(const PackedWeights& weights) {
  return cpu::packed_size(weights.n, weights.k) * static_cast<int64_t>(sizeof(cpu::Bf16));
}

int64_t bytes_a_step(const PackedModel& packed) {
  int64_t bytes = bytes_of(packed.head);
  for (const PackedLayer& layer : packed.layers) {
    for (const PackedWeights* w : {&layer.q, &layer.kv, &layer.o, &layer.gate_up, &layer.down}) {
      bytes += bytes_of(*w);
    }
  }
  return bytes;
}

size_t embedding_bytes(const model::ModelConfig& config, vflow::Dtype dtype) {
  return times(config.vocab_size, config.hidden_size) * static_cast<size_t>(vflow::dtype_bytes(dtype));
}

// Zeroed memory of a process's own, in huge pages where the system grants them: weights that are read panel by panel
// side by side cross a small page so often that finding the next one is what takes the time.
std::shared_ptr<char> own_memory(size_t bytes) {
  const size_t size = (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  std::shared_ptr<char> memory(static_cast<char*>(std::aligned_alloc(kHugePageBytes, size)),
                               [](char* at) { std::free(at); });
  if (memory == nullptr) { throw std::bad_alloc(); }
  ::madvise(memory.get(), size, MADV_HUGEPAGE);
  std::memset(memory.get(), 0, size);
  return memory;
}

// The packed arrays, then the embedding.
Status bind_kept(PackedModel& packed, const KeptModel& kept) {
  const model::ModelConfig& config = packed.source.config;
  Packer packer(packed, config.max_position_embeddings);
  const size_t arrays = packer.count();
  const size_t bytes = arrays + embedding_bytes(config, kept.embedding);
  if (static_cast<size_t>(kept.weight_bytes) != bytes) {
    return environment_error("the kept weights are " + std::to_string(kept.weight_bytes) + " bytes, not " +
                             std::to_string(bytes) + ": they are another model's");
  }
  packer.bind(kept.weights.get());
  packed.embedding = {kept.weights.get() + arrays, kept.embedding, {config.vocab_size, config.hidden_size}};
  packed.memory = kept.weights;
  return ok_status();
}

void add_bias(float* row, std::span<const float> bias) {
  for (size_t i = 0; i < bias.size(); ++i) { row[i] += bias[i]; }
}

// Norms and rotates `heads` consecutive heads of one token.
void finish_heads(const PackedModel& model, float* heads, int count, std::span<const float> norm, int position) {
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

void norm_rows(const PackedModel& model, const float* x, int rows, std::span<const float> weight, float* out) {
  const int hidden = model.source.config.hidden_size;
  for (int row = 0; row < rows; ++row) {
    const int64_t at = static_cast<int64_t>(row) * hidden;
    cpu::rms_norm(x + at, weight.data(), hidden, static_cast<float>(model.source.config.rms_norm_eps), out + at);
  }
}

// out[rows][n] = W input[rows][k], on the model's unit.
void multiply(const PackedModel& model, const PackedWeights& w, const float* input, int rows, LayerScratch& scratch,
              float* out, cpu::ThreadPool* pool) {
  if (model.unit == cpu::Unit::kFloat32) { return cpu::gemm(input, w.k, rows, w.view(), out, w.n, pool); }
  cpu::gemm_bf16(model.unit, input, w.k, rows, w.view(), out, w.n, scratch.rounded.data(), pool);
}

// x += W input, by way of scratch.normed.
void add_product(const PackedModel& model, const PackedWeights& w, const float* input, const Rows& rows,
                 LayerScratch& scratch, cpu::ThreadPool* pool) {
  multiply(model, w, input, rows.count, scratch, scratch.normed.data(), pool);
  const int64_t size = static_cast<int64_t>(rows.count) * w.n;
  for (int64_t i = 0; i < size; ++i) { rows.x[i] += scratch.normed[static_cast<size_t>(i)]; }
}

// Elements that rounding the input of the deepest product takes.
size_t rounded_size(const PackedModel& model, int rows) {
  if (model.unit == cpu::Unit::kFloat32) { return 0; }
  const model::ModelConfig& c = model.source.config;
  const int deepest = std::max({c.hidden_size, model.q_size(), c.intermediate_size});
  return static_cast<size_t>(cpu::bf16_scratch_size(rows, deepest));
}

Status check_shape(const model::ModelConfig& config) {
  if (config.head_dim % 16 == 0 && config.head_dim <= cpu::kMaxPrefillHeadDim &&
      config.num_q_heads / config.num_kv_heads <= cpu::kMaxPrefillGroup) {
    return ok_status();
  }
  return candidate_error(
      "the CPU engine needs a head_dim that is a multiple of 16 up to " + std::to_string(cpu::kMaxPrefillHeadDim) +
      " and at most " + std::to_string(cpu::kMaxPrefillGroup) + " query heads a kv head, not " +
      std::to_string(config.head_dim) + " and " + std::to_string(config.num_q_heads / config.num_kv_heads));
}

}  // namespace

Result<PackedModel> pack_model(model::Model model, int max_context, const KeptModel* kept, cpu::Unit unit) {
  VORTEX_TRY(check_shape(model.config));
  PackedModel packed;
  packed.source = std::move(model);
  VORTEX_ASSIGN(packed.unit, find_unit(cpu::unit_name(unit)));
  if (unit != cpu::Unit::kFloat32) { packed.source.arithmetic = cpu::unit_name(unit); }
  if (packed.source.weights == nullptr) {
    if (kept == nullptr) { return internal_error("a model without weights can only run on kept ones"); }
    VORTEX_TRY(bind_kept(packed, *kept));
  } else {
    Packer packer(packed, max_context);
    const std::shared_ptr<char> memory = own_memory(packer.count());
    packer.write(memory.get(), *packed.source.weights);
    packed.embedding = packed.source.weights->embedding;
    packed.memory = memory;
  }
  packed.weight_bytes = bytes_a_step(packed);
  return packed;
}

Result<HostImage> pack_image(const model::Model& model) {
  VORTEX_TRY(check_shape(model.config));
  PackedModel packed;
  packed.source = model;
  Packer packer(packed, model.config.max_position_embeddings);
  const size_t arrays = packer.count();
  const model::Tensor& embedding = model.weights->embedding;
  const size_t tail = embedding_bytes(model.config, embedding.dtype);
  VORTEX_ASSIGN(SharedMemory memory, SharedMemory::make(arrays + tail));
  packer.write(memory.data(), *model.weights);
  std::memcpy(memory.data() + arrays, embedding.data, tail);
  HostImage image;
  VORTEX_ASSIGN(image.memory, std::move(memory).seal());
  image.bytes = static_cast<int64_t>(arrays + tail);
  image.embedding = embedding.dtype;
  return image;
}

LayerScratch::LayerScratch(const PackedModel& model, int rows)
    : normed(times(rows, model.source.config.hidden_size)),
      kv(times(rows, 2 * model.kv_size())),
      gate_up(times(rows, 2 * model.source.config.intermediate_size)),
      inner(times(rows, model.source.config.intermediate_size)),
      rounded(rounded_size(model, rows)) {}

float attention_scale(const model::ModelConfig& config) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
}

void embed(const PackedModel& model, const int32_t* tokens, int count, float* x) {
  const int64_t hidden = model.source.config.hidden_size;
  for (int i = 0; i < count; ++i) { model::read_row(model.embedding, tokens[i], x + i * hidden); }
}

void attention_inputs(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
                      cpu::ThreadPool* pool) {
  const model::ModelConfig& config = model.source.config;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  norm_rows(model, rows.x, rows.count, weights.attention_norm, scratch.normed.data());
  multiply(model, weights.q, scratch.normed.data(), rows.count, scratch, q, pool);
  multiply(model, weights.kv, scratch.normed.data(), rows.count, scratch, scratch.kv.data(), pool);
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
  add_product(model, weights.o, attended, rows, scratch, pool);
  norm_rows(model, rows.x, rows.count, weights.mlp_norm, scratch.normed.data());
  multiply(model, weights.gate_up, scratch.normed.data(), rows.count, scratch, scratch.gate_up.data(), pool);
  for (int row = 0; row < rows.count; ++row) {
    const float* gate = &scratch.gate_up[times(row, 2 * inner)];
    cpu::swiglu(gate, gate + inner, inner, &scratch.inner[times(row, inner)]);
  }
  add_product(model, weights.down, scratch.inner.data(), rows, scratch, pool);
}

void head_logits(const PackedModel& model, const float* x, int rows, LayerScratch& scratch, float* logits,
                 cpu::ThreadPool* pool) {
  norm_rows(model, x, rows, model.final_norm, scratch.normed.data());
  multiply(model, model.head, scratch.normed.data(), rows, scratch, logits, pool);
}

}  // namespace vortex::engine
