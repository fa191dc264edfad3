#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/evaluate/assignment.h"
#include "agent/session/hooks.h"
#include "base/result.h"
#include "db/store.h"

namespace vortex::agent {

// What came of taking one candidate up (a part of) the ladder.
struct Evaluation {
  enum class End {
    kDone,     // it has a verdict, which is stored
    kStopped,  // we were told to stop: the candidate waits for the next session
    kBroken,   // the machine is at fault, not the candidate: `error` says how
  };
  End end = End::kDone;
  job::Verdict verdict = job::Verdict::kError;  // of kDone
  Blame blame = Blame::kCandidate;              // of a verdict that is not a pass
  Error error;
};

struct EvaluatorHooks {
  RunJob run_job;
  std::function<bool()> should_stop;          // kill what runs, now
  std::function<void(double seconds)> pause;  // back-off; returns early when told to stop
  std::function<void(int64_t candidate, const job::StageResult&)> on_result;  // after the row is stored
};

// Takes a candidate up the stages of the task's job, storing every stage result the moment it arrives, and stores its
// verdict (a retest has none: it ends with rows).
// A fault of the environment is never a verdict on the candidate: the attempt is repeated with growing pauses; when
// that does not help, `canary` (a job that is known to pass) tells whether the machine or the candidate is to blame.
// Only in the latter case does the candidate end, with verdict error, unscored.
Evaluation evaluate(db::Store& store, const Assignment& task, const job::Job& canary, const EvaluatorHooks& hooks);

}  // namespace vortex::agent
