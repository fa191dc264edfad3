#pragma once

#include <memory>

#include "core/compile/cuda/cuda_executable.h"
#include "core/compile/executable.h"
#include "core/vflow/policy.h"

namespace vortex::compile {

// A policy's CUDA kernels behind the face that both backends share: each call copies the layer's pages to the device,
// runs the very kernels that decode there, and copies everything back, so that a stray write shows. For checks, not for
// decoding: `completes_blocks`, by which decoding joins forward_cache to the selection, stays off.
// `policy` is what `executable` was compiled from; the cache's k and v must have its kv_cache_dtype.
std::shared_ptr<const Executable> over_host_memory(const vflow::Policy& policy,
                                                   std::shared_ptr<const CudaExecutable> executable);

}  // namespace vortex::compile
