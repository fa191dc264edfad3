#pragma once

#include <functional>

#include "evals/job.h"
#include "evals/stage.h"

namespace vortex::evals {

// Called before a stage starts and with each result, in order.
struct LadderEvents {
  std::function<void(Stage)> on_start;
  std::function<void(const StageResult&)> on_result;
};

// Climbs the worker's stages of a job in this process; stops at the first that does not pass. Never throws.
void climb(const Job& job, const LadderEvents& events);

}  // namespace vortex::evals
