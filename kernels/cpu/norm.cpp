#include "kernels/cpu/norm.h"

#include <cmath>

namespace vortex::cpu {

void rms_norm(const float* x, const float* weight, int size, float eps, float* out) {
  constexpr int kLanes = 16;
  float sums[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) { sums[lane] += x[i + lane] * x[i + lane]; }
  }
  for (int lane = 0; i + lane < size; ++lane) { sums[lane] += x[i + lane] * x[i + lane]; }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) { sums[lane] += sums[lane + width]; }
  }
  const float factor = 1.0F / std::sqrt(sums[0] / static_cast<float>(size) + eps);
  for (int j = 0; j < size; ++j) { out[j] = x[j] * factor * weight[j]; }
}

}  // namespace vortex::cpu
