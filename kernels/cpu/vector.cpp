#include "kernels/cpu/vector.h"

#include "kernels/cpu/vector_table.h"

namespace vortex::cpu {

const VectorKernels& vector_kernels(Isa isa) {
  return isa == Isa::kAvx512 ? vector_kernels_avx512()
         : isa == Isa::kAvx2 ? vector_kernels_avx2()
                             : vector_kernels_scalar();
}

}  // namespace vortex::cpu
