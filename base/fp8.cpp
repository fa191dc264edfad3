#include "base/fp8.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vortex {

namespace {

struct Layout {
  int mantissa_bits;
  int bias;
  float largest;
  uint8_t nan;
};

Layout layout_of(Fp8Format format) {
  return format == Fp8Format::kE4m3 ? Layout{3, 7, 448.0F, 0x7f} : Layout{2, 15, 57344.0F, 0x7f};
}

}  // namespace

uint8_t fp8_bits(float x, Fp8Format format) {
  const Layout layout = layout_of(format);
  const uint8_t sign = std::signbit(x) ? 0x80 : 0;
  if (std::isnan(x)) { return sign | layout.nan; }
  const float magnitude = std::min(std::abs(x), layout.largest);
  if (magnitude == 0) { return sign; }
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  // The distance of neighbours at this magnitude, a power of two; below the smallest normal number it stays.
  const int step = std::max(exponent - 1, 1 - layout.bias) - layout.mantissa_bits;
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -step)));
  // Counted in such steps from its power of two on, a number and its exponent lie side by side in the bits.
  const int powers = step + layout.mantissa_bits - (1 - layout.bias);
  return static_cast<uint8_t>(sign | ((powers << layout.mantissa_bits) + steps));
}

float fp8_value(uint8_t bits, Fp8Format format) {
  const Layout layout = layout_of(format);
  const float sign = (bits & 0x80) != 0 ? -1.0F : 1.0F;
  const int exponent = (bits & 0x7f) >> layout.mantissa_bits;
  const int mantissa = bits & ((1 << layout.mantissa_bits) - 1);
  const bool e4m3 = format == Fp8Format::kE4m3;
  if (e4m3 ? (bits & 0x7f) == 0x7f : exponent == 31 && mantissa != 0) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  if (!e4m3 && exponent == 31) { return sign * std::numeric_limits<float>::infinity(); }
  const int implicit = exponent == 0 ? 0 : 1 << layout.mantissa_bits;
  const int scale = std::max(exponent, 1) - layout.bias - layout.mantissa_bits;
  return sign * std::ldexp(static_cast<float>(implicit + mantissa), scale);
}

}  // namespace vortex
