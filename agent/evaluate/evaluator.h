#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/evaluate/assignment.h"
#include "agent/evaluate/pool.h"
#include "agent/session/breaker.h"
#include "agent/session/session.h"
#include "base/thread_annotations.h"
#include "study/history.h"

namespace vortex::agent {

// Which model a result was measured on, and on which bfloat16 unit if on one; empty when it does not say (a worker that
// died).
std::string model_hash_of(const nlohmann::json& evidence);

// Runs tasks on workers within the budget. What a stage takes is learned from the rows of earlier ones: a task that
// should not end within what is left is not started, and neither is a stage. Called from the loop's thread alone.
class Evaluator {
 public:
  Evaluator(Session& session, const study::SearchOptions& options, job::Job canary);

  // Has those of the tasks run that have no result yet: before all that wait for a worker where they are `urgent`, else
  // behind them. Returns their number for wait().
  Result<int64_t> start(const std::vector<Assignment>& tasks, bool urgent);
  // Returns when all of them that were begun have ended; some may be left for the next session, which the session then
  // knows.
  Status wait(int64_t lot);
  // Both, for what the loop cannot go on without.
  Status run(const std::vector<Assignment>& tasks);

  // Takes in how long a candidate's stages took.
  void learn(const study::CandidateHistory& candidate) VORTEX_EXCLUDES(times_mutex_);
  // Seconds that these stages should take together, from the first `from` on. From any thread.
  double expected_seconds(const std::vector<job::Stage>& stages, size_t from = 0) const VORTEX_EXCLUDES(times_mutex_);

  // The two of these that should take longest, in words: "race 20 s, speed 9 s".
  std::string longest_stages(std::vector<job::Stage> stages) const;

  // The model that dense attention was measured on: results on another one must not be compared with it.
  void set_model_hash(std::string hash) { model_hash_ = std::move(hash); }

 private:
  Result<bool> is_pending(const Assignment& task);
  bool may_start(const Assignment& task, int64_t number);
  void work(const Assignment& task, int64_t number);
  void conclude(const Assignment& task, const struct Evaluation& end);
  Status count_spoiled(const Assignment& task, const struct Evaluation& end) VORTEX_EXCLUDES(spoiled_mutex_);
  void check_model(const Assignment& task, const job::StageResult& result);

  Session& session_;
  const study::SearchOptions& options_;
  job::Job canary_;
  Breaker breaker_;
  std::string model_hash_;
  struct Times {
    double seconds = 0;
    int count = 0;
  };
  mutable Mutex times_mutex_;
  std::map<db::StageRound, Times> times_ VORTEX_GUARDED_BY(times_mutex_);
  std::vector<bool> learned_;             // by stage row's number
  int64_t tasks_ = 0;                     // ever given to the pool: their numbers in the budget
  std::atomic<int> internal_faults_ = 0;  // in a row
  Mutex spoiled_mutex_;
  std::vector<int64_t> spoiled_ VORTEX_GUARDED_BY(spoiled_mutex_);  // by the machine, in a row
  std::optional<ThreadPool> threads_;                               // goes first: it waits for what runs
  Pool& pool_;
};

}  // namespace vortex::agent
