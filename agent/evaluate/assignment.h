#pragma once

#include <cstdint>
#include <optional>

#include "db/words.h"
#include "job/job.h"

namespace vortex::agent {

// One job for a worker, and what it means for its candidate.
struct Assignment {
  enum class Kind {
    kClimb,    // the ladder, from its first stage in a worker: ends with the candidate's verdict
    kRetest,   // more problems of the search, beside its rivals: adds outcomes, changes no verdict
    kConfirm,  // a round of held-out problems: for a claim; one that crashes on them loses its pass
    kSpeed,    // speed once more, in a process of its own
  };
  Kind kind = Kind::kClimb;
  int64_t candidate = 0;
  job::Job job;
  int round = 0;        // of a retest or of held-out problems, from 1; of speeds, from 2
  bool needed = false;  // started even where its end within the budget is in doubt
  int place = 0;        // among those asked on held-out problems, from 1; in its rows as study::kPlace; 0: none
};

// What its stage rows are of; none for a climb, whose rows have their own.
std::optional<db::StageRound> row_stage(const Assignment& task);

}  // namespace vortex::agent
