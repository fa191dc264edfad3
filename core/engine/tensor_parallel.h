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
#include "core/engine/engine.h"

namespace vortex::engine {

struct RankEngines {
  std::vector<std::unique_ptr<Engine>> engines;  // [rank]
  // Called on a thread before it works for a rank: chooses the rank's device. May be empty.
  std::function<Status(int rank)> enter;
  // Ends the waits of all ranks for one that has failed. After that the engines are of no use.
  std::function<void()> abandon;
};

// Calls work(rank) on a thread for each of `ranks` ranks and waits for all. The first error that is not the candidate's
// (those come to all ranks alike) abandons the others; it is the one that is given.
Status on_ranks(int ranks, const std::function<Status(int rank)>& work, const std::function<void()>& abandon);

// `whole` is the model that the ranks have parts of. Observers of single engines see some heads only, so that
// teacher_force() and force_decode() refuse them here.
std::unique_ptr<Engine> make_tensor_parallel_engine(RankEngines ranks, model::Model whole);

// Ranks that are threads on the CPU. options.threads must be 1, of each rank.
Result<std::unique_ptr<Engine>> make_tensor_parallel_cpu_engine(const model::Model& model, const EngineOptions& options,
                                                                int ranks);

}  // namespace vortex::engine
