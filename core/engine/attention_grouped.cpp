// Grouped-query attention (arXiv:2305.13245): each kv head is shared by a group of query heads.
#include <cmath>
#include <string>

#include "core/engine/attention_kind.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/prefill_attention.h"
#include "kernels/cpu/rope.h"

namespace vortex::engine {
namespace {

int kv_size(const model::ModelConfig& config) { return config.num_kv_heads * config.head_dim; }

Status check(const model::ModelConfig& config) {
  if (config.head_dim % 16 == 0 && config.head_dim <= cpu::kMaxPrefillHeadDim &&
      config.num_q_heads / config.num_kv_heads <= cpu::kMaxPrefillGroup) {
    return ok_status();
  }
  return candidate_error(
      "the CPU engine needs a head_dim that is a multiple of 16 up to " + std::to_string(cpu::kMaxPrefillHeadDim) +
      " and at most " + std::to_string(cpu::kMaxPrefillGroup) + " query heads a kv head, not " +
      std::to_string(config.head_dim) + " and " + std::to_string(config.num_q_heads / config.num_kv_heads));
}

void pack(Packer& packer, const model::LayerWeights& from, PackedLayer& to) {
  const model::ModelConfig& c = packer.config();
  const int q_size = c.num_q_heads * c.head_dim;
  packer.matrix(to.q, {&from.q}, q_size, c.hidden_size);
  packer.matrix(to.kv, {&from.k, &from.v}, 2 * kv_size(c), c.hidden_size);
  if (c.qkv_bias) {
    packer.floats(to.q_bias, {&from.q_bias}, q_size);
    packer.floats(to.kv_bias, {&from.k_bias, &from.v_bias}, 2 * kv_size(c));
  }
  if (c.qk_norm != model::QkNorm::kNone) {
    const bool each = c.qk_norm == model::QkNorm::kEachHead;
    packer.floats(to.q_norm, {&from.q_norm}, each ? c.head_dim : q_size);
    packer.floats(to.k_norm, {&from.k_norm}, each ? c.head_dim : kv_size(c));
  }
  packer.matrix(to.o, {&from.o}, c.hidden_size, q_size);
}

compile::LayerCache layout(const model::ModelConfig& config, int block_size) {
  compile::LayerCache cache;
  cache.k = {nullptr, vflow::Dtype::kBf16, config.num_kv_heads, block_size, config.head_dim};
  cache.v = cache.k;
  return cache;
}

void add_bias(float* row, std::span<const float> bias) {
  for (size_t i = 0; i < bias.size(); ++i) { row[i] += bias[i]; }
}

float squares_of(const float* x, int size) {
  float sum = 0.0F;
  for (int i = 0; i < size; ++i) { sum += x[i] * x[i]; }
  return sum;
}

// RMSNorm over the heads of all ranks, of which these are some: of queries [row][q size] and of keys, the first half of
// each row of kv.
void norm_over_ranks(const PackedModel& model, const PackedLayer& weights, int rows, float* q, float* kv) {
  const auto eps = static_cast<float>(model.source.config.rms_norm_eps);
  const int sizes[2] = {weights.q.n, weights.kv.n / 2};
  const int strides[2] = {weights.q.n, weights.kv.n};
  float* const heads[2] = {q, kv};
  const std::span<const float> norms[2] = {weights.q_norm, weights.k_norm};
  std::vector<float> squares;
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < 2; ++part) {
      squares.push_back(squares_of(heads[part] + int64_t{row} * strides[part], sizes[part]));
    }
  }
  sum_ranks(model, squares);
  for (size_t i = 0; i < squares.size(); ++i) {
    const size_t part = i % 2;
    const auto all = static_cast<float>(sizes[part] * model.rank->plan.ranks);
    const float factor = 1.0F / std::sqrt(squares[i] / all + eps);
    float* const x = heads[part] + static_cast<int64_t>(i / 2) * strides[part];
    for (int j = 0; j < sizes[part]; ++j) { x[j] = x[j] * factor * norms[part][static_cast<size_t>(j)]; }
  }
}

bool norms_over_ranks(const PackedModel& model) {
  const bool all = model.source.config.qk_norm == model::QkNorm::kAllHeads;
  return all && model.rank != nullptr && model.rank->plan.ranks > 1;
}

// Norms and rotates `count` consecutive heads of one token; a norm over the heads of several ranks is done already.
void finish_heads(const PackedModel& model, float* heads, int count, std::span<const float> norm, int position) {
  const model::ModelConfig& c = model.source.config;
  const auto eps = static_cast<float>(c.rms_norm_eps);
  const int rotated = c.rotary_dim();
  const auto angles = static_cast<size_t>(position) * static_cast<size_t>(rotated / 2);
  if (c.qk_norm == model::QkNorm::kAllHeads && !norms_over_ranks(model)) {
    cpu::rms_norm(heads, norm.data(), count * c.head_dim, eps, heads);
  }
  for (int head = 0; head < count; ++head) {
    float* values = heads + static_cast<int64_t>(head) * c.head_dim;
    if (c.qk_norm == model::QkNorm::kEachHead) { cpu::rms_norm(values, norm.data(), c.head_dim, eps, values); }
    cpu::rope_rotate(values, rotated, &model.cosines[angles], &model.sines[angles]);
  }
}

void inputs(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
            cpu::ThreadPool* pool) {
  const model::ModelConfig& config = model.source.config;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  norm_rows(model, rows.x, rows.count, weights.attention_norm, scratch.normed.data());
  const Strided<const float> normed{scratch.normed.data(), config.hidden_size};
  multiply(model, weights.q, normed, rows.count, {q, weights.q.n}, scratch, pool);
  multiply(model, weights.kv, normed, rows.count, {scratch.kv.data(), weights.kv.n}, scratch, pool);
  for (int row = 0; row < rows.count; ++row) {
    float* q_row = q + int64_t{row} * weights.q.n;
    float* kv_row = scratch.kv.data() + int64_t{row} * weights.kv.n;
    add_bias(q_row, weights.q_bias);
    add_bias(kv_row, weights.kv_bias);
  }
  if (norms_over_ranks(model)) { norm_over_ranks(model, weights, rows.count, q, scratch.kv.data()); }
  for (int row = 0; row < rows.count; ++row) {
    float* q_row = q + int64_t{row} * weights.q.n;
    float* kv_row = scratch.kv.data() + int64_t{row} * weights.kv.n;
    finish_heads(model, q_row, config.num_q_heads, weights.q_norm, rows.positions[row]);
    finish_heads(model, kv_row, config.num_kv_heads, weights.k_norm, rows.positions[row]);
  }
}

void attend(const PackedModel& model, const compile::LayerCache& cache, cpu::AttentionArgs args,
            cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  args.k = static_cast<const cpu::Bf16*>(cache.k.data);
  args.v = static_cast<const cpu::Bf16*>(cache.v.data);
  args.kv_heads = c.num_kv_heads;
  args.group = c.num_q_heads / c.num_kv_heads;
  args.head_dim = c.head_dim;
  cpu::paged_attention(args, pool);
}

void outputs(const PackedModel& model, int layer, const Rows& rows, const float* attended, LayerScratch& scratch,
             cpu::ThreadPool* pool) {
  add_product(model, model.layers[static_cast<size_t>(layer)].o, attended, rows, scratch, pool);
}

int prompt_width(const model::ModelConfig& config) { return config.num_q_heads * config.head_dim; }

void prompt_attend(const PackedModel& model, int, const PromptAttention& prompt, cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  prompt.panels->resize(static_cast<size_t>(cpu::prefill_scratch_size(prompt.tokens, c.num_kv_heads, c.head_dim)));
  cpu::PrefillAttentionArgs args;
  args.q = prompt.q;
  args.out = prompt.attended;
  args.k = prompt.cached;
  args.v = prompt.cached + static_cast<int64_t>(c.num_kv_heads) * prompt.tokens * c.head_dim;
  args.scratch = prompt.panels->data();
  args.tokens = prompt.tokens;
  args.first_row = prompt.first_row;
  args.first_query = prompt.first_query;
  args.kv_heads = c.num_kv_heads;
  args.group = c.num_q_heads / c.num_kv_heads;
  args.head_dim = c.head_dim;
  args.scale = attention_scale(c);
  if (model.unit == cpu::Unit::kFloat32) {
    cpu::prefill_attention(args, pool);
  } else {
    cpu::prefill_attention_bf16(model.unit, args, pool);
  }
}

}  // namespace

const AttentionKind kGroupedQuery = {"grouped-query", check,        pack,   layout,        inputs, attend,
                                     outputs,         prompt_width, inputs, prompt_attend, outputs};

}  // namespace vortex::engine
