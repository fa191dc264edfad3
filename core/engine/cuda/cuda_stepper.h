#pragma once

#include <memory>

#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/runner.h"
#include "core/engine/stepper.h"

namespace vortex::engine {

// The stepper of a CUDA engine; the runner outlives it.
std::unique_ptr<Stepper> make_cuda_stepper(Runner& runner, const CudaOptions& cuda);

}  // namespace vortex::engine
