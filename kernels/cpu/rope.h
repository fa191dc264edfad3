#pragma once

#include <cstdint>

namespace vortex::cpu {

// Fills cos and sin of the rotary angles of one position (Su et al., arXiv:2104.09864), `count` values each: angle i =
// position * frequencies[i], computed in double.
void rope_angles(std::int64_t position, const double* frequencies, int count, float* cosines, float* sines);

// Rotates one head in place, pairing element i with element i + head_dim / 2 ("rotate half").
void rope_rotate(float* head, int head_dim, const float* cosines, const float* sines);

// Rotates one head in place, pairing elements 2i and 2i + 1 ("interleaved"), which stay where they are.
void rope_rotate_pairs(float* head, int head_dim, const float* cosines, const float* sines);

}  // namespace vortex::cpu
