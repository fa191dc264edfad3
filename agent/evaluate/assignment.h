#pragma once

#include <cstdint>

#include "job/job.h"

namespace vortex::agent {

// One job for a worker, and what it means for its candidate.
struct Assignment {
  enum class Kind {
    kClimb,    // the ladder, from its first stage in a worker: ends with the candidate's verdict
    kRetest,   // more problems of the search, beside its rivals: adds outcomes, changes no verdict
    kConfirm,  // held-out problems: one who does not hold loses its pass
  };
  Kind kind = Kind::kClimb;
  int64_t candidate = 0;
  job::Job job;
  int round = 0;        // of a retest, from 1
  bool needed = false;  // started even where its end within the budget is in doubt
};

}  // namespace vortex::agent
