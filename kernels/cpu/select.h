#pragma once

#include <cstdint>

namespace vortex::cpu {

// The `k` largest of scores[0, count), written as ascending positions + `offset`. Exact and deterministic: among equal
// scores the lower position wins, -0 equals 0, and a NaN is below everything (ties among NaNs as above).
//
// tolerance > 0 allows vortex_torch's approximation: scores are first compared by the upper 8 bits of their
// order-preserving bits alone, and if the positions strictly above the threshold bucket already are
// ceil((1 - tolerance) k) or more, the rest is filled from that bucket in ascending order of position. Recall is at
// least 1 - tolerance. (vortex_torch fills in arrival order, which differs from run to run.)
// Returns how many were written: min(k, count), 0 for k <= 0.
int select_largest(const float* scores, int count, int k, double tolerance, int offset, std::int32_t* out);

// The ascending union of two ascending lists; `out` may alias neither. Returns its length.
int merge_ascending(const std::int32_t* a, int a_count, const std::int32_t* b, int b_count, std::int32_t* out);

}  // namespace vortex::cpu
