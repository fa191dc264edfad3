#pragma once

#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "core/engine/cpu_engine.h"
#include "core/engine/decode.h"
#include "core/engine/prefill.h"
#include "core/engine/prefix_cache.h"
#include "core/engine/schedule.h"
#include "core/engine/session.h"

namespace vortex::engine {

// Continuous batching on the CPU: what generate() runs to its end, and what a server keeps alive.
class CpuSession final : public Session {
 public:
  // `parts` and `stats` outlive it. Frees all pages of the pool.
  CpuSession(const CpuParts& parts, const SessionOptions& options, RunStats& stats);

  Status submit(LiveRequest request) override;
  void cancel(int64_t id) override;
  Result<bool> round() override;
  SessionUse use() const override;

 private:
  static constexpr int kFirstChunk = 64;
  static constexpr int kLeastChunk = 16;

  // A request that holds pages.
  struct Active {
    LiveRequest live;
    int longest = 0;  // pages at its greatest length
    int cached = 0;   // of its pages, the first ones, which belong to the cache
    int produced = 0;
    bool stopped = false;
    Sequence sequence;  // as long as its prompt was read, at first
    std::vector<PromptProb> prompt_probs;
  };

  const model::ModelConfig& config() const { return parts_.model.source.config; }
  bool ended(const Active& active) const;
  int available() const;
  int32_t take_page();
  void give_back(const Active& active);
  PageNeed need_of(const Active& active) const;
  bool safe_with(const Active* growing, int taken) const;
  void read_prompts();
  bool begin_next();
  void take_kept_pages(const LiveRequest& live);
  int chunk_size(int tokens, double seconds) const;
  void copy_prefix();
  int read_chunk(int most);
  void end_prompt();
  std::vector<Sequence*> runnable(std::vector<size_t>& who);
  void step();
  void accept(Active& active, const float* logits);

  CpuParts parts_;
  SessionOptions options_;
  RunStats& stats_;
  Decoder decoder_;
  std::optional<PrefixCache> cache_;  // none where nothing is kept
  std::deque<LiveRequest> waiting_;
  std::optional<Active> reading_;  // whose prompt is being read
  PromptPace pace_{kFirstChunk, kLeastChunk, false};
  std::vector<Active> active_;
  std::vector<float> logits_;   // behind the newest prompt
  std::vector<int32_t> order_;  // scratch of the sampler, [vocab]
  std::vector<float> weights_;
};

}  // namespace vortex::engine
