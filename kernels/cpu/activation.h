#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace vortex::cpu {

// out[i] = silu(gate[i]) * up[i] with silu(x) = x / (1 + exp(-x)) (Shazeer, arXiv:2002.05202).
void swiglu(const float* gate, const float* up, std::int64_t size, float* out, Isa isa = best_isa());

// out[i] = exp((x[i] - shift) * scale); `out` may be `x`.
void exp_shifted(const float* x, std::int64_t size, float shift, float scale, float* out, Isa isa = best_isa());

}  // namespace vortex::cpu
