#pragma once

#include "base/result.h"
#include "job/generation.h"

namespace vortex::evals {

// Does the job in this process; needs the worker's library. Never throws.
Status generate(const job::GenerationJob& job, const job::GenerationEvents& events);

}  // namespace vortex::evals
