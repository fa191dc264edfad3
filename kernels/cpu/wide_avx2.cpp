#include "kernels/cpu/wide_impl.h"

namespace vortex::cpu {

const WideKernels kWideAvx2 = kWide;

}  // namespace vortex::cpu
