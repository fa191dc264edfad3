// Sums between the ranks of a model that are threads of this process. They make the same calls with as many values in
// the same order, each from its own thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_annotations.h"
#include "core/engine/shard.h"

namespace vortex::engine {

class CpuRanks {
 public:
  // A rank that has waited `wait_seconds` for another one ends all of it.
  explicit CpuRanks(int ranks, double wait_seconds = 60);

  // x[i] becomes the sum of all ranks' x[i], in float32 in their order.
  void all_reduce(int rank, std::span<float> x);
  // Of `rows` rows of [stride] each rank has columns [rank * columns, (rank + 1) * columns), and gets the others'.
  void all_gather(int rank, float* rows, int count, int columns, int64_t stride);

  // A rank has failed: nobody waits any more, and all results are worthless.
  void abandon() VORTEX_EXCLUDES(mutex_);
  bool abandoned() const VORTEX_EXCLUDES(mutex_);

 private:
  // Makes what slot() has of this rank known and waits for that of all others.
  void meet(int rank) VORTEX_EXCLUDES(mutex_);
  // What a rank says in the call that `caller` is in. Calls use two in turn: who fills one again has met everybody in
  // between, so that all have read it.
  std::vector<float>& slot(int caller, int rank);

  int ranks_;
  double wait_seconds_;
  std::vector<int64_t> calls_;            // [rank], of that rank's thread
  std::vector<std::vector<float>> said_;  // [turn][rank]
  mutable Mutex mutex_;
  Condition condition_;
  std::vector<int64_t> met_ VORTEX_GUARDED_BY(mutex_);  // [rank] calls
  bool abandoned_ VORTEX_GUARDED_BY(mutex_) = false;
};

// A rank's end of them.
struct CpuRank {
  std::shared_ptr<CpuRanks> all;
  ShardPlan plan;
};

}  // namespace vortex::engine
