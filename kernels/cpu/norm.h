#pragma once

namespace vortex::cpu {

// out = x / sqrt(mean(x^2) + eps) * weight (Zhang, Sennrich, arXiv:1910.07467); `out` may be `x`. The squares are
// summed in 16 interleaved lanes, then pairwise: one fixed order.
void rms_norm(const float* x, const float* weight, int size, float eps, float* out);

}  // namespace vortex::cpu
