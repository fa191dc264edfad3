#pragma once

#include <cstdint>

namespace vortex::cpu {

// Fills cos and sin of the rotary angles of one position, head_dim / 2 values each: angle i = position *
// theta^(-2i / head_dim) (Su et al., arXiv:2104.09864), computed in double.
void rope_angles(std::int64_t position, int head_dim, double theta, float* cosines, float* sines);

// Rotates one head in place, pairing element i with element i + head_dim / 2 ("rotate half").
void rope_rotate(float* head, int head_dim, const float* cosines, const float* sines);

}  // namespace vortex::cpu
