#pragma once

#include "core/compile/cuda/cuda_executable.h"
#include "core/compile/cuda/generate.h"

namespace vortex::compile {

vflow::Dtype dtype_of(cuda::KvType type);

// The policy with the target's type of k and v.
vflow::Policy for_target(const vflow::Policy& policy, const CudaTarget& target);

// The second half of build_cuda.
Result<CudaBinary> build_generated(const GeneratedPolicy& generated, const CudaTarget& target);

// The second half of compile_cuda; `policy` is for_target's.
Result<std::unique_ptr<CudaExecutable>> load_generated(const vflow::Policy& policy, const vflow::ModelGeometry& model,
                                                       GeneratedPolicy generated, CudaBinary binary);

// What the driver knows of a kernel.
KernelInfo describe_kernel(std::string name, const cudaFuncAttributes& attributes);

}  // namespace vortex::compile
