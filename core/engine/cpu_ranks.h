// Sums between the ranks of a model that are threads of this process, and how such threads wait for each other. They
// make the same calls with as many values in the same order, each from its own thread.
//
// Nobody waits for ever, and nobody for a rank that does not come any more: a rank whose work has ended, well or badly,
// ends the wait of those that wait for it (on_ranks in tensor_parallel.h sees to that), and a wait has a limit. After
// that all calls give the one reason, and touch nothing that another rank might still read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "core/engine/shard.h"

namespace vortex::engine {

class CpuRanks {
 public:
  // A thread of this process cannot vanish, only hang or be held up: by a busy machine, by weights that come from a
  // slow disk, by products that are tuned.
  static constexpr double kWaitSeconds = 600;

  explicit CpuRanks(int ranks, double wait_seconds = kWaitSeconds);

  int ranks() const { return ranks_; }

  // x[i] becomes the sum of all ranks' x[i], in float32 in their order. On an error x is worthless.
  Status all_reduce(int rank, std::span<float> x);
  // Of `rows` rows of [stride] each rank has columns [rank * columns, (rank + 1) * columns), and gets the others'.
  Status all_gather(int rank, float* rows, int count, int columns, int64_t stride);

  // All ranks are about to work, none waits. An error: they have ended.
  Status begin() VORTEX_EXCLUDES(mutex_);
  // This rank's work has ended, and how: it comes to no more exchanges before the next begin().
  void leave(int rank, const Status& how) VORTEX_EXCLUDES(mutex_);
  // For good, and why; the first reason stays. It is no candidate's fault that ranks are not alike any more.
  void end(const Error& reason) VORTEX_EXCLUDES(mutex_);
  // Ok, or why they have ended.
  Status status() const VORTEX_EXCLUDES(mutex_);

 private:
  // Makes what slot() has of this rank known and waits for that of all others.
  Status meet(int rank) VORTEX_EXCLUDES(mutex_);
  // The first rank that has not come to `call`; ranks() where all have.
  int missing(int64_t call) const VORTEX_REQUIRES(mutex_);
  void end_locked(const Error& reason) VORTEX_REQUIRES(mutex_);
  // What a rank says in the call that `caller` is in. Calls use two in turn: who fills one again has met everybody in
  // between, so that all have read it.
  std::vector<float>& slot(int caller, int rank);

  int ranks_;
  double wait_seconds_;
  std::vector<int64_t> calls_;            // [rank], of that rank's thread
  std::vector<std::vector<float>> said_;  // [turn][rank]
  mutable Mutex mutex_;
  Condition condition_;
  std::vector<int64_t> met_ VORTEX_GUARDED_BY(mutex_);                 // [rank] calls
  std::vector<std::optional<Status>> left_ VORTEX_GUARDED_BY(mutex_);  // [rank]
  std::optional<Error> ended_ VORTEX_GUARDED_BY(mutex_);
};

// A rank's end of them.
struct CpuRank {
  std::shared_ptr<CpuRanks> all;
  ShardPlan plan;
};

// Thrown by computations of a rank whose exchange gave an error, and caught where the engine is entered (guarded() in
// cpu_engine.h): nothing that they would go on to compute is worth anything.
struct RanksEnded {
  Error reason;
};

}  // namespace vortex::engine
