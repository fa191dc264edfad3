#pragma once

#include "evals/tasks/task.h"

namespace vortex::evals {

// Problems of a data set in its own order, each with one answer; graded as mathematics (evals/grading/math.h). The
// prompt is spec.prompt with the problem in the place of {problem}. The seed chooses nothing here but the draws of
// sampling.
extern const Task kQuestionsTask;

}  // namespace vortex::evals
