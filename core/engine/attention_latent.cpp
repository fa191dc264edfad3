// Latent attention (MLA; DeepSeek-V2, arXiv:2405.04434). Of a token the cache keeps its latent c, normed, and one
// rotated key r that all heads share. Head h has the key [K_h c | r] and the value V_h c.
//
// A decode step never makes keys: q.K_h c = (K_h^T q).c, so the queries are turned round once and scored against the
// cache as it lies there, with one kv head for all query heads; what is attended is a mean of latents, which V_h turns
// into the head's output. A prompt makes keys and values of all its tokens, in float32 from the latents as the cache
// rounds them, because turned-round queries would cost three times the products.
#include <algorithm>
#include <string>

#include "core/engine/attention_kind.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/prefill_attention.h"
#include "kernels/cpu/rope.h"

namespace vortex::engine {
namespace {

int query_dim(const model::LatentAttention& l) { return l.nope_dim + l.rope_dim; }
int cached_dim(const model::LatentAttention& l) { return l.kv_rank + l.rope_dim; }

// Elements of a head while a prompt is attended: keys and values are of one size, filled up with zeros.
int prompt_dim(const model::LatentAttention& l) { return (std::max(query_dim(l), l.value_dim) + 15) / 16 * 16; }

Status check(const model::ModelConfig& config) {
  if (prompt_dim(*config.latent) <= cpu::kMaxPrefillHeadDim) { return ok_status(); }
  return candidate_error("the CPU engine takes heads of latent attention of at most " +
                         std::to_string(cpu::kMaxPrefillHeadDim) + " elements, not " +
                         std::to_string(query_dim(*config.latent)) + " of keys and " +
                         std::to_string(config.latent->value_dim) + " of values");
}

// The three matrices of a head, from the checkpoint's [nope + value_dim][kv_rank].
void pack_head(Packer& packer, const model::Tensor& from, int head, PackedLayer& to) {
  const model::LatentAttention& l = *packer.config().latent;
  const auto rank = static_cast<size_t>(l.kv_rank);
  const int64_t first = int64_t{head} * (l.nope_dim + l.value_dim);
  std::vector<float> keys;
  if (packer.writes()) {
    keys.resize(static_cast<size_t>(l.nope_dim) * rank);
    for (int row = 0; row < l.nope_dim; ++row) {
      model::read_row(from, first + row, &keys[static_cast<size_t>(row) * rank]);
    }
  }
  packer.matrix(to.key_queries.emplace_back(), l.kv_rank, l.nope_dim, [&](int row, float* values) {
    for (size_t i = 0; i < static_cast<size_t>(l.nope_dim); ++i) {
      values[i] = keys[i * rank + static_cast<size_t>(row)];
    }
  });
  packer.matrix(to.keys.emplace_back(), l.nope_dim, l.kv_rank,
                [&](int row, float* values) { std::copy_n(&keys[static_cast<size_t>(row) * rank], rank, values); });
  packer.matrix(to.values.emplace_back(), l.value_dim, l.kv_rank,
                [&](int row, float* values) { model::read_row(from, first + l.nope_dim + row, values); });
}

void pack(Packer& packer, const model::LayerWeights& from, PackedLayer& to) {
  const model::ModelConfig& c = packer.config();
  const model::LatentAttention& l = *c.latent;
  const int queries = c.num_q_heads * query_dim(l);
  if (l.q_rank > 0) {
    packer.matrix(to.q_latent, {&from.q_latent}, l.q_rank, c.hidden_size);
    packer.floats(to.q_norm, {&from.q_norm}, l.q_rank);
  }
  packer.matrix(to.q, {&from.q}, queries, l.q_rank > 0 ? l.q_rank : c.hidden_size);
  packer.matrix(to.kv, {&from.kv_latent}, cached_dim(l), c.hidden_size);
  packer.floats(to.k_norm, {&from.k_norm}, l.kv_rank);
  for (int head = 0; head < c.num_q_heads; ++head) { pack_head(packer, from.kv, head, to); }
  packer.matrix(to.o, {&from.o}, c.hidden_size, c.num_q_heads * l.value_dim);
}

compile::LayerCache layout(const model::ModelConfig& config, int block_size) {
  compile::LayerCache cache;
  cache.k = {nullptr, vflow::Dtype::kBf16, 1, block_size, config.head_dim};
  cache.v = {nullptr, vflow::Dtype::kBf16, 1, 0, 0};
  return cache;
}

void rotate(const PackedModel& model, float* part, int position) {
  const model::LatentAttention& l = *model.source.config.latent;
  const auto angles = static_cast<size_t>(position) * static_cast<size_t>(l.rope_dim / 2);
  const auto turn = l.interleaved ? cpu::rope_rotate_pairs : cpu::rope_rotate;
  turn(part, l.rope_dim, &model.cosines[angles], &model.sines[angles]);
}

void norm_latent(const model::LatentAttention& l, std::span<const float> weight, float* latent) {
  cpu::rms_norm(latent, weight.data(), static_cast<int>(weight.size()), static_cast<float>(l.norm_eps), latent);
}

// scratch.queries, rotated, and scratch.kv as it is cached.
void project(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const model::LatentAttention& l = *c.latent;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  norm_rows(model, rows.x, rows.count, weights.attention_norm, scratch.normed.data());
  const Strided<const float> normed{scratch.normed.data(), c.hidden_size};
  const Strided<float> queries{scratch.queries.data(), weights.q.n};
  if (l.q_rank > 0) {
    multiply(model, weights.q_latent, normed, rows.count, {scratch.q_latent.data(), l.q_rank}, scratch, pool);
    for (int row = 0; row < rows.count; ++row) {
      norm_latent(l, weights.q_norm, scratch.q_latent.data() + int64_t{row} * l.q_rank);
    }
    multiply(model, weights.q, {scratch.q_latent.data(), l.q_rank}, rows.count, queries, scratch, pool);
  } else {
    multiply(model, weights.q, normed, rows.count, queries, scratch, pool);
  }
  multiply(model, weights.kv, normed, rows.count, {scratch.kv.data(), weights.kv.n}, scratch, pool);
  for (int row = 0; row < rows.count; ++row) {
    float* cached = scratch.kv.data() + int64_t{row} * weights.kv.n;
    norm_latent(l, weights.k_norm, cached);
    rotate(model, cached + l.kv_rank, rows.positions[row]);
    for (int head = 0; head < c.num_q_heads; ++head) {
      rotate(model, queries.data + row * queries.stride + head * query_dim(l) + l.nope_dim, rows.positions[row]);
    }
  }
}

// Queries as the cache is scored with them: [head][K_h^T q | rotated part].
void inputs(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
            cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const model::LatentAttention& l = *c.latent;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  project(model, layer, rows, scratch, pool);
  std::vector<Multiplication> turned;
  for (int head = 0; head < c.num_q_heads; ++head) {
    const float* from = scratch.queries.data() + head * query_dim(l);
    float* to = q + head * cached_dim(l);
    turned.push_back(
        {&weights.key_queries[static_cast<size_t>(head)], {from, weights.q.n}, rows.count, {to, model.q_size()}});
    for (int row = 0; row < rows.count; ++row) {
      std::copy_n(from + int64_t{row} * weights.q.n + l.nope_dim, l.rope_dim,
                  to + int64_t{row} * model.q_size() + l.kv_rank);
    }
  }
  multiply_all(model, turned, scratch, pool);
}

void attend(const PackedModel& model, const compile::LayerCache& cache, cpu::AttentionArgs args,
            cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  args.k = args.v = static_cast<const cpu::Bf16*>(cache.k.data);
  args.value_stride = c.head_dim;
  args.value_dim = c.latent->kv_rank;
  args.kv_heads = 1;
  args.group = c.num_q_heads;
  args.head_dim = c.head_dim;
  cpu::paged_attention(args, pool);
}

// `attended` is [row][head][kv_rank].
void outputs(const PackedModel& model, int layer, const Rows& rows, const float* attended, LayerScratch& scratch,
             cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const model::LatentAttention& l = *c.latent;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  std::vector<Multiplication> heads;
  for (int head = 0; head < c.num_q_heads; ++head) {
    heads.push_back({&weights.values[static_cast<size_t>(head)],
                     {attended + head * l.kv_rank, int64_t{c.num_q_heads} * l.kv_rank},
                     rows.count,
                     {scratch.attended.data() + head * l.value_dim, weights.o.k}});
  }
  multiply_all(model, heads, scratch, pool);
  add_product(model, weights.o, scratch.attended.data(), rows, scratch, pool);
}

int prompt_width(const model::ModelConfig& config) { return config.num_q_heads * prompt_dim(*config.latent); }

void prompt_inputs(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
                   cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const model::LatentAttention& l = *c.latent;
  project(model, layer, rows, scratch, pool);
  const int dim = prompt_dim(l);
  const float* from = scratch.queries.data();
  for (int i = 0; i < rows.count * c.num_q_heads; ++i, from += query_dim(l), q += dim) {
    std::fill(std::copy_n(from, query_dim(l), q), q + dim, 0.0F);
  }
}

// Keys and values [head][token][prompt_dim] of the tokens [first, first + count).
void expand(const PackedModel& model, int layer, const PromptAttention& prompt, int first, int count,
            LayerScratch& scratch) {
  const model::ModelConfig& c = model.source.config;
  const model::LatentAttention& l = *c.latent;
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  const int dim = prompt_dim(l);
  const int64_t cached = cached_dim(l);
  float* latents = scratch.kv.data();  // [token][cached_dim]
  std::transform(prompt.cached + first * cached, prompt.cached + (first + count) * cached, latents, cpu::bf16_to_float);
  for (int head = 0; head < c.num_q_heads; ++head) {
    const int64_t at = (int64_t{head} * prompt.tokens + first) * dim;
    float* keys = prompt.keys->data() + at;
    float* values = prompt.values->data() + at;
    multiply(model, weights.keys[static_cast<size_t>(head)], {latents, cached}, count, {keys, dim}, scratch, nullptr);
    multiply(model, weights.values[static_cast<size_t>(head)], {latents, cached}, count, {values, dim}, scratch,
             nullptr);
    for (int token = 0; token < count; ++token, keys += dim, values += dim) {
      float* rest = std::copy_n(latents + token * cached + l.kv_rank, l.rope_dim, keys + l.nope_dim);
      std::fill(rest, keys + dim, 0.0F);
      std::fill(values + l.value_dim, values + dim, 0.0F);
    }
  }
}

void expand_all(const PackedModel& model, int layer, const PromptAttention& prompt, cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const size_t size = static_cast<size_t>(prompt.tokens) * static_cast<size_t>(prompt_width(c));
  prompt.keys->resize(size);
  prompt.values->resize(size);
  const int chunks = (prompt.tokens + kPromptChunk - 1) / kPromptChunk;
  cpu::parallel_for(pool, chunks, [&](int64_t begin, int64_t end, int worker) {
    for (auto chunk = static_cast<int>(begin); chunk < end; ++chunk) {
      const int first = chunk * kPromptChunk;
      expand(model, layer, prompt, first, std::min(kPromptChunk, prompt.tokens - first),
             (*prompt.scratch)[static_cast<size_t>(worker)]);
    }
  });
}

// A bfloat16 unit takes its operands rounded.
std::vector<cpu::Bf16> rounded(const std::vector<float>& values, cpu::ThreadPool* pool) {
  std::vector<cpu::Bf16> out(values.size());
  cpu::parallel_for(pool, static_cast<int64_t>(values.size()), [&](int64_t begin, int64_t end, int) {
    std::transform(values.begin() + begin, values.begin() + end, out.begin() + begin, cpu::float_to_bf16);
  });
  return out;
}

void prompt_attend(const PackedModel& model, int layer, const PromptAttention& prompt, cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  expand_all(model, layer, prompt, pool);
  cpu::PrefillAttentionArgs args;
  args.q = prompt.q;
  args.out = prompt.attended;
  args.tokens = prompt.tokens;
  args.first_row = prompt.first_row;
  args.first_query = prompt.first_query;
  args.kv_heads = c.num_q_heads;
  args.head_dim = prompt_dim(*c.latent);
  args.scale = attention_scale(c);
  prompt.panels->resize(static_cast<size_t>(cpu::prefill_scratch_size(args.tokens, args.kv_heads, args.head_dim)));
  args.scratch = prompt.panels->data();
  if (model.unit == cpu::Unit::kFloat32) {
    args.wide_k = prompt.keys->data();
    args.wide_v = prompt.values->data();
    return cpu::prefill_attention(args, pool);
  }
  const std::vector<cpu::Bf16> keys = rounded(*prompt.keys, pool);
  const std::vector<cpu::Bf16> values = rounded(*prompt.values, pool);
  args.k = keys.data();
  args.v = values.data();
  cpu::prefill_attention_bf16(model.unit, args, pool);
}

// `attended` is [row][head][prompt_dim].
void prompt_outputs(const PackedModel& model, int layer, const Rows& rows, const float* attended, LayerScratch& scratch,
                    cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const model::LatentAttention& l = *c.latent;
  float* to = scratch.attended.data();
  for (int i = 0; i < rows.count * c.num_q_heads; ++i, attended += prompt_dim(l)) {
    to = std::copy_n(attended, l.value_dim, to);
  }
  add_product(model, model.layers[static_cast<size_t>(layer)].o, scratch.attended.data(), rows, scratch, pool);
}

}  // namespace

const AttentionKind kLatent = {"latent", check,        pack,          layout,        inputs,        attend,
                               outputs,  prompt_width, prompt_inputs, prompt_attend, prompt_outputs};

}  // namespace vortex::engine
