#include "kernels/cpu/vector_impl.h"
#include "kernels/cpu/vector_table.h"

namespace vortex::cpu {

const VectorKernels& vector_kernels_scalar() { return kKernels; }

}  // namespace vortex::cpu
