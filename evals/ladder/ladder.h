#pragma once

#include <functional>

#include "job/job.h"
#include "job/stage.h"

namespace vortex::evals {

// Called before a stage starts, with the seconds that it should cost here (0: not planned), and with each result, in
// order.
struct LadderEvents {
  std::function<void(job::Stage, double planned)> on_start;
  std::function<void(const job::StageResult&)> on_result;
};

// Climbs the worker's stages of a job in this process; stops at the first that does not pass. Never throws.
void climb(const job::Job& job, const LadderEvents& events);

}  // namespace vortex::evals
