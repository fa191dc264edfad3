#include "core/engine/decode.h"

#include <algorithm>

#include "core/engine/attention_kind.h"
#include "core/engine/mlp.h"

namespace vortex::engine {

Decoder::Decoder(const PackedModel& model, KvPool& pool, const ActivePolicy& policy, cpu::ThreadPool* threads)
    : model_(model), pool_(pool), policy_(policy), threads_(threads) {}

void Decoder::update_completed(const Sequence& sequence, int first) {
  const int completed = sequence.length / pool_.block_size();
  if (completed <= first) { return; }
  const auto pages =
      std::span(sequence.pages).subspan(static_cast<size_t>(first), static_cast<size_t>(completed - first));
  cpu::parallel_for(threads_, model_.source.config.num_layers, [&](int64_t begin, int64_t end, int) {
    for (auto layer = static_cast<int>(begin); layer < end; ++layer) {
      if (!policy_.sparse(layer)) { continue; }
      policy_.executable->update(pool_.layer(layer), pages);
    }
  });
}

void Decoder::plan(std::span<Sequence* const> batch) {
  const int block = pool_.block_size();
  requests_ = static_cast<int>(batch.size());
  max_blocks_ = 0;
  for (const Sequence* sequence : batch) {
    max_blocks_ = std::max(max_blocks_, pool_.blocks_for(sequence->length + 1));
  }
  block_table_.assign(batch.size() * static_cast<size_t>(max_blocks_), -1);
  positions_.clear();
  seq_lens_.clear();
  filled_.clear();
  for (size_t i = 0; i < batch.size(); ++i) {
    const Sequence& sequence = *batch[i];
    const auto blocks = static_cast<size_t>(pool_.blocks_for(sequence.length + 1));
    std::copy_n(sequence.pages.begin(), blocks, block_table_.begin() + static_cast<int64_t>(i) * max_blocks_);
    positions_.push_back(sequence.length);
    seq_lens_.push_back(sequence.length + 1);
    if ((sequence.length + 1) % block == 0) { filled_.push_back(sequence.pages[blocks - 1]); }
  }
}

void Decoder::append(int layer, const LayerScratch& scratch) {
  const int block = pool_.block_size();
  const int64_t cached = model_.source.config.cached_values();
  for (int i = 0; i < requests_; ++i) {
    const int position = positions_[static_cast<size_t>(i)];
    const int32_t page =
        block_table_[static_cast<size_t>(i) * static_cast<size_t>(max_blocks_) + static_cast<size_t>(position / block)];
    pool_.append(layer, page, position % block, scratch.kv.data() + i * cached);
  }
}

void Decoder::attend(int layer, const AttentionObserver* observer, RunStats& stats) {
  const model::ModelConfig& c = model_.source.config;
  const compile::LayerCache& cache = pool_.layer(layer);
  const bool sparse = policy_.sparse(layer);
  if (sparse) {
    compile::IndexerBatch batch;
    batch.layer = layer;
    batch.requests = requests_;
    batch.q = q_.data();
    batch.block_table = block_table_.data();
    batch.max_blocks = max_blocks_;
    batch.seq_lens = seq_lens_.data();
    batch.pool = threads_;
    if (!filled_.empty()) { policy_.executable->update(cache, filled_); }
    policy_.executable->choose(cache, batch, selection_);
  }
  cpu::AttentionArgs args;
  args.q = q_.data();
  args.out = attended_.data();
  args.block_table = block_table_.data();
  args.max_blocks = max_blocks_;
  args.seq_lens = seq_lens_.data();
  if (sparse) {
    args.selected = selection_.blocks.data();
    args.selected_stride = selection_.stride;
    args.selected_counts = selection_.counts.data();
  }
  args.requests = requests_;
  args.block_size = pool_.block_size();
  args.scale = attention_scale(c);
  model_.attention->attend(model_, cache, args, threads_);
  count(layer, stats);
  if (observer != nullptr && *observer) {
    (*observer)({layer, requests_, q_.data(), &cache, block_table_.data(), max_blocks_, seq_lens_.data(),
                 sparse ? &selection_ : nullptr, c.num_q_heads / c.num_kv_heads});
  }
}

void Decoder::count(int layer, RunStats& stats) const {
  const bool sparse = policy_.sparse(layer);
  const int heads = model_.source.config.num_kv_heads;
  const int block = pool_.block_size();
  const int64_t token_bytes = model_.source.config.cached_values() / heads * static_cast<int64_t>(sizeof(cpu::Bf16));
  const int always_kept = policy_.policy.config.reserved_eos;  // blocks at the end that are never scored
  (sparse ? stats.sparse_layer_calls : stats.dense_layer_calls) += requests_;
  for (int i = 0; i < requests_; ++i) {
    const int length = seq_lens_[static_cast<size_t>(i)];
    const int visible = pool_.blocks_for(length);
    const int missing = visible * block - length;  // free slots of the last block
    for (int head = 0; head < heads; ++head) {
      const int attended = sparse ? selection_.counts[static_cast<size_t>(i * heads + head)] : visible;
      stats.pages_visible[static_cast<size_t>(layer)] += visible;
      stats.pages_attended[static_cast<size_t>(layer)] += attended;
      stats.kv_bytes_read += (static_cast<int64_t>(attended) * block - missing) * token_bytes;
      if (attended < visible) { stats.kv_bytes_read += (visible - always_kept) * policy_.scored_bytes; }
    }
  }
}

const float* Decoder::step(std::span<Sequence* const> batch, const AttentionObserver* observer, RunStats& stats) {
  const model::ModelConfig& c = model_.source.config;
  plan(batch);
  const size_t rows = batch.size();
  x_.resize(rows * static_cast<size_t>(c.hidden_size));
  q_.resize(rows * static_cast<size_t>(model_.q_size()));
  attended_.resize(q_.size());
  logits_.resize(rows * static_cast<size_t>(c.vocab_size));
  std::vector<int32_t> tokens;
  for (const Sequence* sequence : batch) { tokens.push_back(sequence->next_token); }
  embed(model_, tokens.data(), requests_, x_.data());
  LayerScratch scratch(model_, requests_);
  const Rows active{x_.data(), positions_.data(), requests_};
  for (int layer = 0; layer < c.num_layers; ++layer) {
    model_.attention->inputs(model_, layer, active, scratch, q_.data(), threads_);
    append(layer, scratch);
    attend(layer, observer, stats);
    model_.attention->outputs(model_, layer, active, attended_.data(), scratch, threads_);
    add_mlp(model_, layer, active, scratch, threads_);
  }
  head_logits(model_, x_.data(), requests_, scratch, logits_.data(), threads_);
  for (Sequence* sequence : batch) { ++sequence->length; }
  stats.decode_steps += 1;
  stats.decode_tokens += requests_;
  stats.weight_bytes_read += model_.weight_bytes + scratch.expert_bytes;
  return logits_.data();
}

}  // namespace vortex::engine
