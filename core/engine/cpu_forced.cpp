// Forced decoding on the CPU.
#include "core/engine/cpu_engine.h"
#include "core/engine/forced.h"
#include "core/engine/prefix.h"
#include "core/engine/recall.h"
#include "core/engine/requests.h"

namespace vortex::engine {

// Requests that are decoded together from first to last token.
class CpuEngine::ForcedRun {
 public:
  // `first`: place of the first request among those of the call.
  ForcedRun(CpuEngine& engine, std::span<const ForcedRequest> requests, size_t first, const ForcedOptions& options,
            RunStats& stats)
      : engine_(engine),
        requests_(requests),
        first_(first),
        options_(options),
        stats_(stats),
        decoder_(engine.model_, engine.pool_, engine.policy_, &engine.threads_),
        reader_(config().vocab_size, options.top_tokens) {}

  std::vector<Forced> finish() {
    engine_.pool_.free_all();
    for (const ForcedRequest& request : requests_) { start(request); }
    for (size_t position = 0; step(position); ++position) {}
    for (Forced& forced : results_) { finish_looks(forced.recall); }
    return std::move(results_);
  }

 private:
  const model::ModelConfig& config() const { return engine_.model_.source.config; }

  void start(const ForcedRequest& request) {
    const Stopwatch watch(stats_.prefill_seconds);
    const PrefixPtr prefix = engine_.prompt_kv(request.request, stats_);
    sequences_.push_back(engine_.start(*prefix, decoder_));
    results_.push_back(fresh_forced(request, config()));
    reader_.read(prefix->logits(), request, 0, results_.back());
  }

  // Feeds every request's token at `position` and reads what is said of the next one. False when none has a next one.
  bool step(size_t position) {
    const Stopwatch watch(stats_.decode_seconds);
    std::vector<Sequence*> batch;
    who_.clear();
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (position + 1 >= requests_[i].continuation.size()) { continue; }
      Sequence& sequence = sequences_[i];
      sequence.next_token = requests_[i].continuation[position];
      if (engine_.pool_.blocks_for(sequence.length + 1) > static_cast<int>(sequence.pages.size())) {
        sequence.pages.push_back(engine_.pool_.take());
      }
      batch.push_back(&sequence);
      who_.push_back(i);
    }
    if (batch.empty()) { return false; }
    const bool looks = options_.look_every > 0 && position % static_cast<size_t>(options_.look_every) == 0;
    const AttentionObserver observer = [&](const AttentionView& view) {
      if (looks) { look(view); }
      if (options_.observer) { show(view); }
    };
    const float* logits = decoder_.step(batch, looks || options_.observer ? &observer : nullptr, stats_);
    for (size_t i = 0; i < who_.size(); ++i) {
      const size_t which = who_[i];
      reader_.read(logits + i * static_cast<size_t>(config().vocab_size), requests_[which], position + 1,
                   results_[which]);
    }
    return true;
  }

  void look(const AttentionView& view) {
    if (view.selection == nullptr) { return; }
    const vflow::EngineConfig& policy = engine_.policy_.policy.config;
    std::vector<AttentionRecall*> sums;
    for (const size_t which : who_) {
      sums.push_back(&results_[which].recall[static_cast<size_t>(view.layer * config().num_kv_heads)]);
    }
    add_look(view, {policy.reserved_bos, policy.reserved_eos}, static_cast<double>(attention_scale(config())), sums);
  }

  void show(const AttentionView& view) {
    std::vector<size_t> which;
    for (const size_t request : who_) { which.push_back(first_ + request); }
    AttentionView named = view;
    named.which = which.data();
    options_.observer(named);
  }

  CpuEngine& engine_;
  std::span<const ForcedRequest> requests_;
  size_t first_;
  const ForcedOptions& options_;
  RunStats& stats_;
  Decoder decoder_;
  PositionReader reader_;
  std::vector<Sequence> sequences_;
  std::vector<Forced> results_;
  std::vector<size_t> who_;  // requests of the current step
};

Result<std::vector<Forced>> CpuEngine::force_decode(std::span<const ForcedRequest> requests,
                                                    const ForcedOptions& options, RunStats* stats) {
  return guarded([&]() -> Result<std::vector<Forced>> {
    VORTEX_TRY(check_forced(model_.source, options_, requests, options));
    RunStats counted = fresh_stats(model_.source.config.num_layers);
    std::vector<Forced> results;
    while (results.size() < requests.size()) {
      const std::span<const ForcedRequest> rest = requests.subspan(results.size());
      const size_t count = forced_together(rest, options_.max_batch, pool_.pages(), pool_.block_size());
      std::vector<Forced> done = ForcedRun(*this, rest.first(count), results.size(), options, counted).finish();
      for (Forced& forced : done) { results.push_back(std::move(forced)); }
    }
    if (stats != nullptr) { *stats = std::move(counted); }
    return results;
  });
}

}  // namespace vortex::engine
