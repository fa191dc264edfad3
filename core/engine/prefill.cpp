#include "core/engine/prefill.h"

#include <algorithm>
#include <vector>

#include "core/engine/attention_kind.h"
#include "core/engine/mlp.h"

namespace vortex::engine {
namespace {

// Activations of all tokens of a prompt.
struct PromptState {
  std::vector<int32_t> positions;
  std::vector<float> x;         // [token][hidden]
  std::vector<float> q;         // [token][prompt_width]
  std::vector<float> attended;  // [token][prompt_width]
  std::vector<float> panels;    // scratch of attention
  std::vector<float> keys;
  std::vector<float> values;
};

constexpr int kChunk = kPromptChunk;

// Calls body(first token, count, scratch of the worker) for chunks of the tokens [begin, end).
template <typename Body>
void for_chunks(int begin, int end, std::vector<LayerScratch>& scratch, cpu::ThreadPool* pool, const Body& body) {
  const int chunks = (end - begin + kChunk - 1) / kChunk;
  cpu::parallel_for(pool, chunks, [&](int64_t chunk_begin, int64_t chunk_end, int worker) {
    for (int64_t chunk = chunk_begin; chunk < chunk_end; ++chunk) {
      const int first = begin + static_cast<int>(chunk) * kChunk;
      body(first, std::min(kChunk, end - first), scratch[static_cast<size_t>(worker)]);
    }
  });
}

// Stores what `count` tokens leave in the cache from scratch.kv, rounded to bf16, at token `first` of one layer's
// [head] [token][head_dim].
void store_kv(const PackedModel& model, const LayerScratch& scratch, int first, int count, int tokens, cpu::Bf16* out) {
  const int dim = model.source.config.head_dim;
  const auto heads = static_cast<int>(model.source.config.cached_values() / dim);
  for (int head = 0; head < heads; ++head) {
    for (int i = 0; i < count; ++i) {
      const float* from = &scratch.kv[static_cast<size_t>((i * heads + head) * dim)];
      cpu::Bf16* to = out + (static_cast<int64_t>(head) * tokens + first + i) * dim;
      for (int d = 0; d < dim; ++d) { to[d] = cpu::float_to_bf16(from[d]); }
    }
  }
}

// Computes outputs of the tokens from `first_query` on.
void prefill_layer(const PackedModel& model, int layer, int first_query, PromptState& state, cpu::Bf16* kv,
                   std::vector<LayerScratch>& scratch, cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const auto tokens = static_cast<int>(state.positions.size());
  const auto rows = [&](int first, int count) {
    return Rows{&state.x[static_cast<size_t>(first) * static_cast<size_t>(c.hidden_size)],
                &state.positions[static_cast<size_t>(first)], count};
  };
  const auto width = static_cast<size_t>(model.attention->prompt_width(c));
  const auto q_row = [&](int first) { return static_cast<size_t>(first) * width; };
  for_chunks(0, tokens, scratch, pool, [&](int first, int count, LayerScratch& local) {
    model.attention->prompt_inputs(model, layer, rows(first, count), local, &state.q[q_row(first)], nullptr);
    store_kv(model, local, first, count, tokens, kv);
  });
  PromptAttention attention;
  attention.q = state.q.data();
  attention.attended = state.attended.data();
  attention.cached = kv;
  attention.tokens = tokens;
  attention.first_query = first_query;
  attention.panels = &state.panels;
  attention.keys = &state.keys;
  attention.values = &state.values;
  attention.scratch = &scratch;
  model.attention->prompt_attend(model, layer, attention, pool);
  for_chunks(first_query, tokens, scratch, pool, [&](int first, int count, LayerScratch& local) {
    const Rows chunk = rows(first, count);
    model.attention->prompt_outputs(model, layer, chunk, &state.attended[q_row(first)], local, nullptr);
    add_mlp(model, layer, chunk, local, nullptr);
  });
}

// Reads the logits behind all tokens.
void read_all(const PackedModel& model, const PromptState& state, LayerScratch& scratch, cpu::ThreadPool* pool,
              const PromptReader& read) {
  const auto tokens = static_cast<int>(state.positions.size());
  const auto vocab = static_cast<size_t>(model.source.config.vocab_size);
  const auto hidden = static_cast<size_t>(model.source.config.hidden_size);
  std::vector<float> logits(static_cast<size_t>(std::min(kChunk, tokens)) * vocab);
  for (int first = 0; first < tokens; first += kChunk) {
    const int count = std::min(kChunk, tokens - first);
    head_logits(model, &state.x[static_cast<size_t>(first) * hidden], count, scratch, logits.data(), pool);
    for (int i = 0; i < count; ++i) { read(first + i, {&logits[static_cast<size_t>(i) * vocab], vocab}); }
  }
}

}  // namespace

Prefix prefill(const PackedModel& model, std::span<const int32_t> prompt, cpu::ThreadPool* pool,
               const PromptReader& read) {
  const model::ModelConfig& c = model.source.config;
  Prefix prefix = make_prefix(model.source, prompt);
  PromptState state;
  for (int i = 0; i < prefix.tokens; ++i) { state.positions.push_back(i); }
  state.x.resize(prompt.size() * static_cast<size_t>(c.hidden_size));
  state.q.resize(prompt.size() * static_cast<size_t>(model.attention->prompt_width(c)));
  state.attended.resize(state.q.size());
  embed(model, prompt.data(), prefix.tokens, state.x.data());
  std::vector<LayerScratch> scratch(static_cast<size_t>(pool == nullptr ? 1 : pool->threads()),
                                    LayerScratch(model, kChunk));
  for (int layer = 0; layer < c.num_layers; ++layer) {
    // Past the last layer only the last token is wanted, unless somebody reads them all.
    const int first_query = layer + 1 == c.num_layers && !read ? prefix.tokens - 1 : 0;
    prefill_layer(model, layer, first_query, state, const_cast<cpu::Bf16*>(prefix.keys(layer, 0)), scratch, pool);
  }
  if (read) { read_all(model, state, scratch[0], pool, read); }
  const float* last = &state.x[state.x.size() - static_cast<size_t>(c.hidden_size)];
  head_logits(model, last, 1, scratch[0], const_cast<float*>(prefix.logits()), pool);
  return prefix;
}

}  // namespace vortex::engine
