// A model on several CUDA devices of this host: a thread and an engine (cuda_engine.h) a device, each device's step one
// graph, whose sums over ranks are kernels that store into each other's memory.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/engine.h"
#include "core/engine/tensor_parallel.h"

namespace vortex::engine {

// Devices 0, 1, ... of this process, `ranks` of them; the environment's error where there are fewer.
Result<std::vector<int>> devices_of_ranks(int ranks);

// Rank r on devices[r]. `whole` may lack weights: then each rank makes random ones of its part. cuda.device is not
// used. A rank that does not answer within half a minute ends a call with the environment's error, and the engine is of
// no use any more.
Result<RankEngines> make_cuda_ranks(const model::Model& whole, const EngineOptions& options, const CudaOptions& cuda,
                                    const std::vector<int>& devices);
Result<std::unique_ptr<Engine>> make_cuda_tensor_parallel_engine(const model::Model& whole,
                                                                 const EngineOptions& options, const CudaOptions& cuda,
                                                                 const std::vector<int>& devices);

}  // namespace vortex::engine
