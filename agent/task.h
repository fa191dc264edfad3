#pragma once

#include <cstdint>
#include <string>

#include "evals/job.h"

namespace vortex::agent {

// One job for a worker, and what it means for its candidate.
struct Task {
  enum class Kind {
    kClimb,    // the ladder, from its first stage in a worker: ends with the candidate's verdict
    kRetest,   // more problems of the search, beside its rivals: adds outcomes, changes no verdict
    kConfirm,  // held-out problems: one who does not hold loses its pass
  };
  Kind kind = Kind::kClimb;
  int64_t candidate = 0;
  evals::Job job;
  int round = 0;        // of a retest, from 1
  bool needed = false;  // started even where its end within the budget is in doubt
};

// The stage rows of retests: "retest-1", "retest-2", ... Each round asks new problems, twice as many as the last.
std::string retest_stage(int round);
bool is_retest(const std::string& stage);
int retest_round(const std::string& stage);  // of such a row
// The seed of a round's problems.
uint64_t retest_seed(uint64_t task_seed, int round);
inline constexpr int kMaxRetests = 6;

}  // namespace vortex::agent
