// One model on several ranks behind the face of one engine. Every rank has an engine of its own over its part of the
// model (shard.h), and all of them do the same: each call goes to all, on a thread a rank. They take the same
// decisions, because they see the same lengths, the same free pages and, as sums between ranks have the same bits
// everywhere, the same tokens. What is asked of the model as a whole is rank 0's answer; what each rank has a part of
// is put together.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "core/engine/cpu_ranks.h"
#include "core/engine/engine.h"
#include "core/engine/prefix.h"

namespace vortex::engine {

struct RankEngines {
  RankEngines() = default;
  RankEngines(RankEngines&&) = default;
  RankEngines& operator=(RankEngines&&) = delete;
  ~RankEngines();  // each engine ends where enter() has been called for it

  std::vector<std::unique_ptr<Engine>> engines;  // [rank]
  // Called on a thread before it works for a rank: chooses the rank's device. May be empty.
  std::function<Status(int rank)> enter;
  // Where the ranks' threads wait for each other.
  std::shared_ptr<CpuRanks> waits;
  // The rank's part of a prompt's K and V, called for all ranks at once. Empty: prompts are not kept, as computing one
  // takes less than reading it.
  std::function<Result<Prefix>(int rank, const std::vector<int32_t>& prompt)> prefill;
};

// Calls work(rank) on a thread for each rank of `waits` and waits for all. Gives the first error. Whoever waits for a
// rank whose work has ended waits no longer; and where the ranks have not all done the same (one failed for another
// reason than the input's, or some failed and others did not) they have ended for good: every later call gives the
// reason.
Status on_ranks(CpuRanks& waits, const std::function<Status(int rank)>& work);

// `whole` is the model that the ranks have parts of. Observers of single engines see some heads only, so that
// teacher_force() and force_decode() refuse them here. prefix() wants a folder of engines of as many ranks alone: sums
// of another number of parts are rounded otherwise.
std::unique_ptr<Engine> make_tensor_parallel_engine(RankEngines ranks, model::Model whole);

// Ranks that are threads on the CPU. options.threads must be 1, of each rank.
Result<RankEngines> make_cpu_ranks(const model::Model& model, const EngineOptions& options, int ranks);
Result<std::unique_ptr<Engine>> make_tensor_parallel_cpu_engine(const model::Model& model, const EngineOptions& options,
                                                                int ranks);

}  // namespace vortex::engine
