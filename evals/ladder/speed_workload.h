#pragma once

#include "base/result.h"
#include "evals/ladder/session.h"

namespace vortex::evals {

// The speed stage where the task has a workload; see stages.h.
Result<job::StageResult> run_speed_on_workload(Session& session);

}  // namespace vortex::evals
