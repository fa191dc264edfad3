#include "kernels/cpu/vector_impl.h"
#include "kernels/cpu/vector_table.h"

namespace vortex::cpu {

const VectorKernels& vector_kernels_avx2() { return kKernels; }

}  // namespace vortex::cpu
