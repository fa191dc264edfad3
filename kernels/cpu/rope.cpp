#include "kernels/cpu/rope.h"

#include <cmath>

namespace vortex::cpu {

void rope_angles(std::int64_t position, const double* frequencies, int count, float* cosines, float* sines) {
  for (int i = 0; i < count; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    cosines[i] = static_cast<float>(std::cos(angle));
    sines[i] = static_cast<float>(std::sin(angle));
  }
}

void rope_rotate(float* head, int head_dim, const float* cosines, const float* sines) {
  const int half = head_dim / 2;
  for (int i = 0; i < half; ++i) {
    const float a = head[i];
    const float b = head[i + half];
    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}

void rope_rotate_pairs(float* head, int head_dim, const float* cosines, const float* sines) {
  for (int i = 0; i < head_dim / 2; ++i, head += 2) {
    const float a = head[0];
    const float b = head[1];
    head[0] = a * cosines[i] - b * sines[i];
    head[1] = b * cosines[i] + a * sines[i];
  }
}

}  // namespace vortex::cpu
