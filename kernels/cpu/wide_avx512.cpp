#include "kernels/cpu/wide_impl.h"

namespace vortex::cpu {

const WideKernels kWideAvx512 = kWide;

}  // namespace vortex::cpu
