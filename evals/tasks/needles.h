#pragma once

#include "evals/tasks/task.h"

namespace vortex::evals {

// Needles in a haystack, as RULER's niah tasks (Hsieh et al. 2024, arXiv:2404.06654): sentences that each state a value
// for a key are hidden in other text; some keys are asked for; every one of their values must be mentioned.
extern const Task kNeedlesTask;

}  // namespace vortex::evals
