#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"
#include "db/words.h"
#include "evals/statistics.h"
#include "job/job.h"

namespace vortex::agent {

class Pool;
class Proposer;

// Runs one job in a worker: sandbox::run_job with its options bound, or a synthetic evaluator.
using RunJob = std::function<Result<std::vector<job::StageResult>>(
    const job::Job&, const std::function<void(const job::StageResult&)>&, const std::function<bool()>&)>;

enum class StopLevel { kNone, kDrain, kKill };  // kDrain: finish what runs. kKill: end it; it is tried again on resume

// Where a search stands, for showing.
struct Progress {
  int64_t batch = 0;
  int evaluated = 0;                       // in this sitting: got a verdict from a worker, dense attention aside
  int refused = 0;                         // in this sitting: by the check or the novelty gate
  std::map<std::string, int> verdicts;     // of the evaluated ones
  std::map<int64_t, std::string> running;  // candidate -> what it is at: a stage, or a round of one ("retest 2")
  int front = 0;                           // members, dense attention included
  double best_speed = 1.0;                 // on the front, over dense attention
  double seconds_used = 0;
};

// One candidate that got its verdict.
struct CandidateSummary {
  int64_t candidate = 0;
  db::Origin origin = db::Origin::kSeed;
  job::Verdict verdict = job::Verdict::kError;
  std::string message;       // stage and reason when it is no pass
  evals::Interval accuracy;  // of a pass
  evals::Interval speed;     // of a pass, over dense attention
};

struct SearchHooks {
  RunJob run_job;
  std::function<double(const vflow::Policy&)> modelled_speed;  // over dense attention
  std::function<double()> lent_seconds;                        // Budget::lent_seconds; empty where workers are here
  std::function<StopLevel()> stop;                             // asked often, from any thread
  std::function<double()> clock;                               // seconds, monotonic; from any thread
  std::function<void(double seconds)> sleep;                   // for back-off; from any thread
  // Showing; called from one thread at a time.
  std::function<void(const Progress&)> on_tick;
  std::function<void(const CandidateSummary&)> on_candidate;
  // A stage's row is stored; `stage` is the row's name. From any thread.
  std::function<void(int64_t candidate, const std::string& stage, const job::StageResult&)> on_stage;
  std::function<void(const std::string&)> on_message;
  Proposer* proposer = nullptr;  // instead of the one that the options name
  Pool* pool = nullptr;          // instead of threads, each of which waits for a worker: a simulation's
  // Every event that is worth a notice (docs/schema.md), after its row is stored.
  std::function<void(const std::string& kind, const nlohmann::json& detail)> on_event;
};

}  // namespace vortex::agent
