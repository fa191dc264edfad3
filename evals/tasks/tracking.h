#pragma once

#include "evals/tasks/task.h"

namespace vortex::evals {

// Variable tracking, as RULER's vt (Hsieh et al. 2024, arXiv:2404.06654): assignments `VAR A = 12345`, `VAR B = VAR A`,
// ... of one or more chains stand in order but scattered over other text; all variables that hold the first chain's
// value must be mentioned.
extern const Task kTrackingTask;

}  // namespace vortex::evals
