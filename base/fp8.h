#pragma once

#include <cstdint>

namespace vortex {

// The two 8-bit floating-point formats of OCP's OFP8 specification, as NVIDIA's devices store and read them: E4M3 has
// no infinity.
enum class Fp8Format : uint8_t { kE4m3, kE5m2 };

// Rounds to nearest, ties to even. Whatever lies beyond the largest finite number (448, 57344) becomes that number, and
// a NaN stays one.
uint8_t fp8_bits(float x, Fp8Format format);
float fp8_value(uint8_t bits, Fp8Format format);

}  // namespace vortex
