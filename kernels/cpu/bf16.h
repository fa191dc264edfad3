#pragma once

#include <cstdint>
#include <cstring>

namespace vortex::cpu {

// A bfloat16 is kept as its 16 bits: the upper half of a float32.
using Bf16 = std::uint16_t;

inline float bf16_to_float(Bf16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

// Rounds to nearest, ties to even; a NaN stays a NaN (quiet, sign kept).
inline Bf16 float_to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffU) > 0x7f800000U) { return static_cast<Bf16>((bits >> 16) | 0x40U); }
  return static_cast<Bf16>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

inline float round_to_bf16(float value) { return bf16_to_float(float_to_bf16(value)); }

}  // namespace vortex::cpu
