#include "kernels/cpu/wide_impl.h"

namespace vortex::cpu {

const WideKernels kWideScalar = kWide;

}  // namespace vortex::cpu
