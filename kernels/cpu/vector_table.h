#pragma once

#include "kernels/cpu/vector.h"

namespace vortex::cpu {

const VectorKernels& vector_kernels_scalar();
const VectorKernels& vector_kernels_avx2();
const VectorKernels& vector_kernels_avx512();

}  // namespace vortex::cpu
