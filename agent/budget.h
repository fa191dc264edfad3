#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "db/store.h"

namespace vortex::agent {

// What a search spends.
enum class Resource {
  kSeconds,      // wall clock in which the search runs
  kGpuSeconds,   // GPUs held by workers, times seconds
  kEvaluations,  // candidates that reach a worker, dense attention aside
  kTokens,       // of language models, prompt and reply
  kDollars,      // paid for them
};
inline constexpr std::array kResources = {Resource::kSeconds, Resource::kGpuSeconds, Resource::kEvaluations,
                                          Resource::kTokens, Resource::kDollars};
std::string_view resource_name(Resource resource);  // "seconds", "gpu_seconds", "evaluations", "tokens", "dollars"

using Limits = std::map<Resource, double>;  // a resource that is absent, or whose limit is 0, has none

// The budgets of a run over all its sittings. What was used lives in rows: a resumed search goes on counting where the
// last one ended, however it ended. Everything that costs is asked for before it starts, beside what is in flight.
// Thread-safe. Failures to write are kept for `status()`.
class Budget {
 public:
  // `clock`: seconds; a step back counts as no time. `gpus`: how many GPUs one worker holds.
  Budget(db::Store& store, const db::Run& run, Limits limits, int gpus, std::function<double()> clock);

  // Reads what earlier sittings spent and which notices they gave.
  Status load();

  // Would `amount` more stay within the limit, with everything in flight counted?
  bool may_spend(Resource resource, double amount) const;
  // Counts what was spent. Tokens and dollars are stored at once; evaluations are rows already.
  void book(Resource resource, double amount);

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

  double used(Resource resource) const;
  double limit(Resource resource) const;  // 0: none
  // Is the time or the GPU time used up? What runs is ended then; the other limits only keep new work from starting.
  bool expired() const;
  // Writes down the time since the last heartbeat, if that is at least `interval` seconds ago.
  Status heartbeat(double interval);
  Status status() const;

  // Called once a run for 50, 80 and 100 % of every limit, from whichever thread spends.
  std::function<void(Resource, int percent)> on_notice;

 private:
  struct Work {
    double expected = 0;
    double started = 0;
  };

  void advance() const;  // takes the clock in
  bool fits(Resource resource, double amount) const;
  double in_flight_gpu_seconds() const;
  std::vector<std::pair<Resource, int>> due_notices();
  void give(const std::vector<std::pair<Resource, int>>& notices);
  template <typename T>
  void keep(const Result<T>& result);

  db::Store& store_;
  int64_t run_;
  Limits limits_;
  int gpus_;
  std::function<double()> clock_;

  mutable std::mutex mutex_;
  mutable double last_;  // clock at the last advance
  mutable std::map<Resource, double> used_;
  std::map<int64_t, Work> work_;
  std::map<int64_t, std::pair<double, double>> holds_;  // tokens and dollars of calls in flight, in used_ already
  double written_seconds_ = 0;
  double written_gpu_seconds_ = 0;
  std::set<std::pair<Resource, int>> noticed_;
  Status status_ = ok_status();
};

}  // namespace vortex::agent
