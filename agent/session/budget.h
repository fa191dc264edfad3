#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "db/store.h"
#include "study/resources.h"

namespace vortex::agent {

// The budgets of a run over all its sessions. What was used lives in rows: a resumed search goes on counting where the
// last one ended, however it ended. Everything that costs is asked for before it starts, beside what is in flight.
// Thread-safe. Failures to write are kept for `status()`.
class Budget {
 public:
  // `clock`: seconds; a step back counts as no time. `gpus`: how many GPUs one worker holds.
  Budget(db::Store& store, const db::Run& run, study::Limits limits, int gpus, std::function<double()> clock);

  // Reads what earlier sessions spent and which notices they gave.
  Status load();

  // Would `amount` more stay within the limit, with everything in flight counted?
  bool may_spend(study::Resource resource, double amount) const;
  // Counts what was spent. Tokens and dollars are stored at once; evaluations are rows already.
  void book(study::Resource resource, double amount);

  // For a paid call that a crash may cut off: stores what it may cost at most, before it is made. Nothing when that
  // does not fit. A hold that nobody settled counts in full.
  Result<std::optional<int64_t>> hold(double tokens, double dollars);
  Status settle(int64_t hold, double tokens, double dollars);

  // A worker starts something that should take `seconds`; until it ends, that is in flight. False, and nothing is
  // noted, when it would not end within what is left.
  bool start_work(int64_t id, double seconds);
  // The same for work that has to be done whatever it takes, as long as there is any time left.
  bool start_needed_work(int64_t id, double seconds);
  void end_work(int64_t id);
  // Would `seconds` more of this work end within what is left?
  bool work_fits(int64_t id, double seconds) const;

  double used(study::Resource resource) const;
  double limit(study::Resource resource) const;  // 0: none
  // Is the time or the GPU time used up? What runs is ended then; the other limits only keep new work from starting.
  bool expired() const;
  // Writes down the time since the last heartbeat, if that is at least `interval` seconds ago.
  Status heartbeat(double interval);
  Status status() const;

  // Seconds that workers were lent for so far in this session, of all taken together; empty: each of them for as long
  // as its work runs. GPU seconds are counted by it: work that waits for a worker holds no GPU.
  std::function<double()> lent_seconds;

  // Called once a run for 50, 80 and 100 % of every limit, from whichever thread spends.
  std::function<void(study::Resource, int percent)> on_notice;

 private:
  struct Work {
    double expected = 0;
    double started = 0;
  };

  void advance() const VORTEX_REQUIRES(mutex_);  // takes the clock in
  bool fits(study::Resource resource, double amount) const VORTEX_REQUIRES(mutex_);
  double in_flight_gpu_seconds() const VORTEX_REQUIRES(mutex_);
  std::vector<std::pair<study::Resource, int>> due_notices() VORTEX_REQUIRES(mutex_);
  void give(const std::vector<std::pair<study::Resource, int>>& notices) VORTEX_EXCLUDES(mutex_);
  template <typename T>
  void keep(const Result<T>& result) VORTEX_REQUIRES(mutex_);

  db::Store& store_;
  int64_t run_;
  study::Limits limits_;
  int gpus_;
  std::function<double()> clock_;

  mutable Mutex mutex_;
  mutable double last_ VORTEX_GUARDED_BY(mutex_);           // clock at the last advance
  mutable double last_lent_ VORTEX_GUARDED_BY(mutex_) = 0;  // likewise
  mutable std::map<study::Resource, double> used_ VORTEX_GUARDED_BY(mutex_);
  std::map<int64_t, Work> work_ VORTEX_GUARDED_BY(mutex_);
  // Tokens and dollars of calls in flight, in used_ already.
  std::map<int64_t, std::pair<double, double>> holds_ VORTEX_GUARDED_BY(mutex_);
  double written_seconds_ VORTEX_GUARDED_BY(mutex_) = 0;
  double written_gpu_seconds_ VORTEX_GUARDED_BY(mutex_) = 0;
  std::set<std::pair<study::Resource, int>> noticed_ VORTEX_GUARDED_BY(mutex_);
  Status status_ VORTEX_GUARDED_BY(mutex_) = ok_status();
};

}  // namespace vortex::agent
