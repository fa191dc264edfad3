#include "core/engine/packed_model.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "base/shared_memory.h"
#include "core/engine/attention_kind.h"
#include "core/engine/cpu_math.h"
#include "core/engine/mlp.h"
#include "core/engine/packer.h"
#include "kernels/cpu/norm.h"

namespace vortex::engine {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

size_t times(int rows, int size) { return static_cast<size_t>(rows) * static_cast<size_t>(size); }

int64_t bytes_a_step(const PackedModel& packed) {
  int64_t bytes = packed.head.bytes();
  for (const PackedLayer& layer : packed.layers) {
    for (const PackedWeights* w : {&layer.q_latent, &layer.q, &layer.kv, &layer.o}) { bytes += w->bytes(); }
    for (const PackedWeights& w : layer.key_queries) { bytes += w.bytes(); }
    for (const PackedWeights& w : layer.values) { bytes += w.bytes(); }
    bytes += mlp_bytes(layer);
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

// Inputs of the deepest product, and elements that rounding them takes.
int deepest(const PackedModel& model) {
  const model::ModelConfig& c = model.source.config;
  const int most = std::max({c.hidden_size, model.q_size(), static_cast<int>(mlp_width(c))});
  if (!c.latent) { return most; }
  return std::max({most, c.latent->q_rank, c.latent->nope_dim, c.num_q_heads * c.latent->value_dim});
}

size_t rounded_size(const PackedModel& model, int rows) {
  if (model.unit == cpu::Unit::kFloat32) { return 0; }
  return static_cast<size_t>(cpu::bf16_scratch_size(rows, deepest(model)));
}

// Leaves whatever is being computed where ranks have ended.
void require(const Status& exchanged) {
  if (!exchanged.ok()) { throw RanksEnded{exchanged.error()}; }
}

// The kind that a model's attention is of, if its kernels cover the shape.
Result<const AttentionKind*> covering_kind(const model::ModelConfig& config) {
  const AttentionKind& kind = attention_kind(config);
  VORTEX_TRY(kind.check(config));
  return &kind;
}

}  // namespace

Result<PackedModel> pack_model(model::Model model, int max_context, const KeptModel* kept, cpu::Unit unit,
                               std::shared_ptr<const CpuRank> rank) {
  PackedModel packed;
  packed.rank = std::move(rank);
  VORTEX_ASSIGN(packed.attention, covering_kind(model.config));
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
  PackedModel packed;
  VORTEX_ASSIGN(packed.attention, covering_kind(model.config));
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
      kv(static_cast<size_t>(rows * model.source.config.cached_values())),
      gate_up(static_cast<size_t>(2 * rows * mlp_width(model.source.config))),
      inner(static_cast<size_t>(rows * mlp_width(model.source.config))),
      rounded(rounded_size(model, rows)) {
  const model::ModelConfig& c = model.source.config;
  if (c.latent) {
    q_latent.resize(times(rows, c.latent->q_rank));
    queries.resize(times(rows, c.num_q_heads * (c.latent->nope_dim + c.latent->rope_dim)));
    attended.resize(times(rows, c.num_q_heads * c.latent->value_dim));
  }
  if (c.experts) {
    gathered.resize(normed.size() * static_cast<size_t>(c.experts->per_token));
    answered.resize(gathered.size() + normed.size());
  }
}

float attention_scale(const model::ModelConfig& config) { return static_cast<float>(model::softmax_scale(config)); }

void embed(const PackedModel& model, const int32_t* tokens, int count, float* x) {
  const int64_t hidden = model.source.config.hidden_size;
  for (int i = 0; i < count; ++i) { model::read_row(model.embedding, tokens[i], x + i * hidden); }
}

void head_logits(const PackedModel& model, const float* x, int rows, LayerScratch& scratch, float* logits,
                 cpu::ThreadPool* pool) {
  norm_rows(model, x, rows, model.final_norm, scratch.normed.data());
  const int64_t vocab = model.source.config.vocab_size;
  const bool split = model.head.n < vocab;
  float* const own = split ? logits + model.rank->plan.vocab.first : logits;
  multiply(model, model.head, {scratch.normed.data(), model.head.k}, rows, {own, vocab}, scratch, pool);
  if (split) { require(model.rank->all->all_gather(model.rank->plan.rank, logits, rows, model.head.n, vocab)); }
}

void sum_ranks(const PackedModel& model, std::span<float> x) {
  if (model.rank != nullptr) { require(model.rank->all->all_reduce(model.rank->plan.rank, x)); }
}

void norm_rows(const PackedModel& model, const float* x, int rows, std::span<const float> weight, float* out) {
  const int hidden = model.source.config.hidden_size;
  for (int row = 0; row < rows; ++row) {
    const int64_t at = static_cast<int64_t>(row) * hidden;
    cpu::rms_norm(x + at, weight.data(), hidden, static_cast<float>(model.source.config.rms_norm_eps), out + at);
  }
}

void multiply(const PackedModel& model, const PackedWeights& w, Strided<const float> input, int rows,
              Strided<float> out, LayerScratch& scratch, cpu::ThreadPool* pool) {
  if (model.unit == cpu::Unit::kFloat32) {
    return cpu::gemm(input.data, input.stride, rows, w.view(), out.data, out.stride, pool);
  }
  cpu::gemm_bf16(model.unit, input.data, input.stride, rows, w.view(), out.data, out.stride, scratch.rounded.data(),
                 pool);
}

void multiply_all(const PackedModel& model, std::span<const Multiplication> products, LayerScratch& scratch,
                  cpu::ThreadPool* pool) {
  if (model.unit != cpu::Unit::kFloat32) {
    for (const Multiplication& m : products) { multiply(model, *m.w, m.input, m.rows, m.out, scratch, pool); }
    return;
  }
  std::vector<cpu::Product> all;
  for (const Multiplication& m : products) {
    all.push_back({m.input.data, m.input.stride, m.rows, m.w->view(), m.out.data, m.out.stride});
  }
  cpu::gemm_all(all.data(), static_cast<int>(all.size()), pool);
}

void add_product(const PackedModel& model, const PackedWeights& w, const float* input, const Rows& rows,
                 LayerScratch& scratch, cpu::ThreadPool* pool) {
  multiply(model, w, {input, w.k}, rows.count, {scratch.normed.data(), w.n}, scratch, pool);
  const int64_t size = static_cast<int64_t>(rows.count) * w.n;
  sum_ranks(model, {scratch.normed.data(), static_cast<size_t>(size)});
  for (int64_t i = 0; i < size; ++i) { rows.x[i] += scratch.normed[static_cast<size_t>(i)]; }
}

}  // namespace vortex::engine
