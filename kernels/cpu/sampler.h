#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace vortex::cpu {

// The index of the largest logit; ties go to the lower index. NaN logits are never chosen unless all are NaN (then 0).
int argmax(const float* logits, int size);

// Draws a token: softmax of logits / temperature (> 0), cut to the top_k most likely ones (0: all) and then to the
// smallest set of most likely ones whose mass reaches top_p (Holtzman et al., arXiv:1904.09751), inverted at
// `uniform` in [0, 1). Equal logits rank by index. `order` and `weights` are scratch of `size` elements.
int sample(const float* logits, int size, double temperature, int top_k, double top_p, double uniform,
           std::int32_t* order, float* weights, Isa isa = best_isa());

}  // namespace vortex::cpu
