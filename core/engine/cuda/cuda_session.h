#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "core/engine/cuda/runner.h"
#include "core/engine/schedule.h"
#include "core/engine/session.h"

namespace vortex::engine {

// Continuous batching on a device: what a server keeps alive. Active requests fill the slots from 0 on without gaps;
// the one whose prompt is being read has the slot behind them, and those whose prompts are read together the slots from
// there on. The host knows every length and how many pages are free,
// and looks after each step. Prompts that begin alike share nothing here, and a prompt's own log-probabilities are not
// told.
class CudaSession final : public Session {
 public:
  // `runner` and `stats` outlive it. Frees all pages of the pool; where the device fails in that, the first round says
  // so.
  CudaSession(Runner& runner, const SessionOptions& options, RunStats& stats);

  Status submit(LiveRequest request) override;
  void cancel(int64_t id) override;
  Result<bool> round() override;
  SessionUse use() const override;

 private:
  static constexpr int kLeastPiece = 256;  // tokens of a prompt

  struct Waiting {
    LiveRequest live;
    double since = 0;
  };

  // A request that holds pages.
  struct Active {
    LiveRequest live;
    double since = 0;  // it was submitted
    int longest = 0;   // pages at its greatest length
    int seen = 0;      // tokens taken from the ring
  };

  SlotArrays& host() { return runner_.slots().host(); }
  int blocks_for(int64_t tokens) const { return runner_.pool().blocks_for(tokens); }
  int held(size_t slot) { return blocks_for(host().lengths[slot]); }
  bool has_ended(size_t slot) { return host().remaining[slot] <= 0 || host().stopped[slot] != 0; }
  bool safe(const std::vector<int>& grown, std::span<const PageNeed> next);
  PageNeed need_of(const Request& request) const;
  Status read_prompts();
  bool may_read() const;
  int next_piece(int tokens, int left, double end) const;
  std::vector<PageNeed> find_pack(int tokens);
  Result<int> read_pack(int tokens);
  void took(int tokens, double seconds);
  Result<bool> begin_next();
  Status start(const Request& request, int slot);
  Result<int> read_piece(int most);
  Status end_prompt();
  bool choose();
  Status step();
  Status collect(size_t slot, int row);
  Status tell_probs(const Active& active, int row, LiveToken& told);
  Status retire();
  Status remove(const std::vector<bool>& ended);
  // What went wrong where nobody could be told: the next round says so.
  void fail_by(const Status& status) {
    if (!status.ok()) { failed_ = status; }
  }

  Runner& runner_;
  SessionOptions options_;
  RunStats& stats_;
  Status failed_;
  std::deque<Waiting> waiting_;
  std::optional<Active> reading_;  // whose prompt is being read
  int unread_ = 0;                 // its tokens
  PromptPace pace_{kLeastPiece, kLeastPiece, true};
  DecodeShare share_;
  std::vector<Active> active_;  // [slot]
  int free_pages_;
  std::vector<float> logits_;  // of a request that wants log-probabilities
};

}  // namespace vortex::engine
