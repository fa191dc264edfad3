#pragma once

#include <span>

#include "base/result.h"
#include "evals/ladder/session.h"

namespace vortex::evals {

// What a stage should cost on this device, in seconds: the steps and bytes of its requests, as the engine schedules
// them, at the pace of a few steps that are timed once a climb; prompts that are not kept yet at the pace of one.
// Answers are expected to be as long as dense attention's, and as long as they may be where it gave none. 0 where
// nothing is planned: stages that decode little, and those without requests.
Result<double> planned_seconds(Session& session, job::Stage stage);

// Bytes that the decode steps of answering `problems` together would move, by the limit model; answers as long as
// above.
double bytes_of_answering(Session& session, std::span<const PreparedProblem> problems);

}  // namespace vortex::evals
