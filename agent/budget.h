#pragma once

#include <functional>

#include "core/base/result.h"
#include "db/store.h"

namespace vortex::agent {

// The wall clock of a run over all its sittings. Only time in which the search runs counts; it is written down by
// heartbeats, so that a crash loses at most one of them.
class Budget {
 public:
  Budget(const db::Run& run, double limit, std::function<double()> clock)
      : limit_(limit), before_(run.seconds_used), clock_(std::move(clock)), start_(clock_()), written_(start_) {}

  double used() const { return before_ + clock_() - start_; }
  bool expired() const { return limit_ > 0 && used() >= limit_; }
  // Would something that takes `seconds` end in time?
  bool fits(double seconds) const { return limit_ <= 0 || used() + seconds <= limit_; }

  // Writes the time since the last heartbeat, if that is at least `interval` seconds ago.
  Status heartbeat(db::Store& store, int64_t run, double interval) {
    const double now = clock_();
    if (now - written_ < interval) return ok_status();
    VORTEX_TRY(store.add_run_seconds(run, now - written_));
    written_ = now;
    return ok_status();
  }

 private:
  double limit_;
  double before_;
  std::function<double()> clock_;
  double start_;
  double written_;
};

}  // namespace vortex::agent
