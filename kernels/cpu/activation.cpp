#include "kernels/cpu/activation.h"

#include "kernels/cpu/wide.h"

namespace vortex::cpu {

void swiglu(const float* gate, const float* up, std::int64_t size, float* out, Isa isa) {
  wide_kernels(isa).swiglu(gate, up, size, out);
}

void exp_shifted(const float* x, std::int64_t size, float shift, float scale, float* out, Isa isa) {
  wide_kernels(isa).exp_shifted(x, size, shift, scale, out);
}

}  // namespace vortex::cpu
