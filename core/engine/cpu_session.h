#pragma once

#include <deque>
#include <vector>

#include "core/engine/cpu_engine.h"
#include "core/engine/decode.h"
#include "core/engine/prefill.h"
#include "core/engine/schedule.h"
#include "core/engine/session.h"

namespace vortex::engine {

// Continuous batching on the CPU: what generate() runs to its end, and what a server keeps alive.
class CpuSession final : public Session {
 public:
  // `parts` and `stats` outlive it. Frees all pages of the pool.
  CpuSession(const CpuParts& parts, RunStats& stats);

  Status submit(LiveRequest request) override;
  void cancel(int64_t id) override;
  Result<bool> round() override;
  SessionUse use() const override;

 private:
  // A request that holds pages.
  struct Active {
    LiveRequest live;
    int longest = 0;  // pages at its greatest length
    int produced = 0;
    bool stopped = false;
    Sequence sequence;
  };

  const model::ModelConfig& config() const { return parts_.model.source.config; }
  bool ended(const Active& active) const;
  bool safe_with(const Active* growing, int taken, const PageNeed* extra) const;
  void admit();
  void start(LiveRequest live, int longest);
  PrefixPtr prompt_kv(const LiveRequest& live);
  std::vector<Sequence*> runnable(std::vector<size_t>& who);
  void step();
  void accept(Active& active, const float* logits);

  CpuParts parts_;
  RunStats& stats_;
  Decoder decoder_;
  std::deque<LiveRequest> waiting_;
  std::vector<Active> active_;
  std::vector<int32_t> order_;  // scratch of the sampler, [vocab]
  std::vector<float> weights_;
};

}  // namespace vortex::engine
