#include "core/engine/prefill.h"

#include <algorithm>
#include <vector>

#include "core/engine/attention_kind.h"
#include "core/engine/mlp.h"

namespace vortex::engine {
namespace {

// Activations of the tokens from `first` on, as many as there are positions.
struct ChunkState {
  int first = 0;
  std::vector<int32_t> positions;  // [row]
  std::vector<float> x;            // [row][hidden]
  std::vector<float> q;            // [row][prompt_width]
  std::vector<float> attended;     // [row][prompt_width]
  std::vector<float> panels;       // scratch of attention
  std::vector<float> keys;
  std::vector<float> values;
  std::vector<LayerScratch> scratch;  // [worker]

  int rows() const { return static_cast<int>(positions.size()); }
  int end() const { return first + rows(); }
};

ChunkState begin_chunk(const PackedModel& model, std::span<const int32_t> prompt, TokenRange range,
                       cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const auto rows = static_cast<size_t>(range.count);
  ChunkState state;
  state.first = range.first;
  for (int i = 0; i < range.count; ++i) { state.positions.push_back(range.first + i); }
  state.x.resize(rows * static_cast<size_t>(c.hidden_size));
  state.q.resize(rows * static_cast<size_t>(model.attention->prompt_width(c)));
  state.attended.resize(state.q.size());
  state.scratch.assign(static_cast<size_t>(pool == nullptr ? 1 : pool->threads()), LayerScratch(model, kPromptChunk));
  embed(model, &prompt[static_cast<size_t>(range.first)], range.count, state.x.data());
  return state;
}

// Calls body(first row, count, scratch of the worker) for stretches of the rows [begin, end).
template <typename Body>
void for_rows(ChunkState& state, int begin, int end, cpu::ThreadPool* pool, const Body& body) {
  const int stretches = (end - begin + kPromptChunk - 1) / kPromptChunk;
  cpu::parallel_for(pool, stretches, [&](int64_t from, int64_t to, int worker) {
    for (int64_t stretch = from; stretch < to; ++stretch) {
      const int first = begin + static_cast<int>(stretch) * kPromptChunk;
      body(first, std::min(kPromptChunk, end - first), state.scratch[static_cast<size_t>(worker)]);
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

// `cached` is what the layer caches, [head][state.end()][head_dim], of which that of tokens before the chunk is there.
// Computes outputs of the tokens from `first_query` on.
void compute_layer(const PackedModel& model, int layer, int first_query, ChunkState& state, cpu::Bf16* cached,
                   cpu::ThreadPool* pool) {
  const model::ModelConfig& c = model.source.config;
  const auto rows = [&](int first, int count) {
    return Rows{&state.x[static_cast<size_t>(first) * static_cast<size_t>(c.hidden_size)],
                &state.positions[static_cast<size_t>(first)], count};
  };
  const auto width = static_cast<size_t>(model.attention->prompt_width(c));
  const auto q_row = [&](int first) { return static_cast<size_t>(first) * width; };
  for_rows(state, 0, state.rows(), pool, [&](int first, int count, LayerScratch& local) {
    model.attention->prompt_inputs(model, layer, rows(first, count), local, &state.q[q_row(first)], nullptr);
    store_kv(model, local, state.first + first, count, state.end(), cached);
  });
  PromptAttention attention;
  attention.q = state.q.data();
  attention.attended = state.attended.data();
  attention.cached = cached;
  attention.tokens = state.end();
  attention.first_row = state.first;
  attention.first_query = first_query;
  attention.panels = &state.panels;
  attention.keys = &state.keys;
  attention.values = &state.values;
  attention.scratch = &state.scratch;
  model.attention->prompt_attend(model, layer, attention, pool);
  for_rows(state, first_query - state.first, state.rows(), pool, [&](int first, int count, LayerScratch& local) {
    const Rows some = rows(first, count);
    model.attention->prompt_outputs(model, layer, some, &state.attended[q_row(first)], local, nullptr);
    add_mlp(model, layer, some, local, nullptr);
  });
}

// Reads the logits behind all tokens of a chunk.
void read_all(const PackedModel& model, ChunkState& state, cpu::ThreadPool* pool, const PromptReader& read) {
  const auto vocab = static_cast<size_t>(model.source.config.vocab_size);
  const auto hidden = static_cast<size_t>(model.source.config.hidden_size);
  std::vector<float> logits(static_cast<size_t>(std::min(kPromptChunk, state.rows())) * vocab);
  for (int first = 0; first < state.rows(); first += kPromptChunk) {
    const int count = std::min(kPromptChunk, state.rows() - first);
    head_logits(model, &state.x[static_cast<size_t>(first) * hidden], count, state.scratch[0], logits.data(), pool);
    for (int i = 0; i < count; ++i) { read(state.first + first + i, {&logits[static_cast<size_t>(i) * vocab], vocab}); }
  }
}

void last_logits(const PackedModel& model, ChunkState& state, float* logits, cpu::ThreadPool* pool) {
  const float* last = &state.x[state.x.size() - static_cast<size_t>(model.source.config.hidden_size)];
  head_logits(model, last, 1, state.scratch[0], logits, pool);
}

// Past the last layer only the chunk's last token is wanted, unless somebody reads them all.
int first_query_of(const PackedModel& model, int layer, const ChunkState& state, bool reads_all) {
  return layer + 1 == model.source.config.num_layers && !reads_all ? state.end() - 1 : state.first;
}

}  // namespace

Prefix prefill(const PackedModel& model, std::span<const int32_t> prompt, cpu::ThreadPool* pool) {
  Prefix prefix = make_prefix(model.source, prompt);
  ChunkState state = begin_chunk(model, prompt, {0, prefix.tokens}, pool);
  for (int layer = 0; layer < model.source.config.num_layers; ++layer) {
    compute_layer(model, layer, first_query_of(model, layer, state, false), state,
                  const_cast<cpu::Bf16*>(prefix.keys(layer, 0)), pool);
  }
  last_logits(model, state, const_cast<float*>(prefix.logits()), pool);
  return prefix;
}

void prefill_chunk(const PackedModel& model, const PromptChunk& chunk, KvPool& pages, cpu::ThreadPool* pool,
                   std::vector<float>& logits, const PromptReader& read) {
  const model::ModelConfig& c = model.source.config;
  ChunkState state = begin_chunk(model, chunk.prompt, chunk.range, pool);
  std::vector<cpu::Bf16> cached(static_cast<size_t>(c.cached_values()) * static_cast<size_t>(state.end()));
  for (int layer = 0; layer < c.num_layers; ++layer) {
    if (state.first > 0) { pages.load(layer, chunk.pages, {0, state.first}, state.end(), cached.data(), pool); }
    compute_layer(model, layer, first_query_of(model, layer, state, static_cast<bool>(read)), state, cached.data(),
                  pool);
    pages.store(layer, chunk.pages, chunk.range, state.end(), cached.data(), pool);
  }
  if (read) { read_all(model, state, pool, read); }
  if (static_cast<size_t>(state.end()) < chunk.prompt.size()) { return; }
  logits.resize(static_cast<size_t>(c.vocab_size));
  last_logits(model, state, logits.data(), pool);
}

}  // namespace vortex::engine
