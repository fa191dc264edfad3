#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "job/job.h"
#include "study/history.h"
#include "study/loaded_run.h"

namespace vortex::study {

// Dense attention's outcomes of the stages that others are paired with (gate, race and confirm): they decide how many
// rounds a candidate is asked.
std::vector<job::Outcome> incumbent_of(const CandidateHistory& dense);

// The job that runs a candidate's race again: on the same build and hardware it must give the very same tokens.
Result<job::Job> reproducing_job(const LoadedRun& run, const db::Candidate& row);

// What a replay of one candidate came to.
struct Replay {
  int64_t candidate = 0;
  int compared = 0;
  std::string difference;  // the first one; empty when every token was reproduced
};

// Compares by (problem, trial) what was answered then with what is answered now.
Replay compare(int64_t candidate, const std::vector<job::Outcome>& before, const std::vector<job::Outcome>& now);

}  // namespace vortex::study
