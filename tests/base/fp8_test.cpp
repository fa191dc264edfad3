#include "base/fp8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace vortex {
namespace {

constexpr Fp8Format kFormats[] = {Fp8Format::kE4m3, Fp8Format::kE5m2};

TEST(Fp8, KnownNumbers) {
  EXPECT_EQ(fp8_bits(1.0F, Fp8Format::kE4m3), 0x38);
  EXPECT_EQ(fp8_bits(-1.0F, Fp8Format::kE4m3), 0xb8);
  EXPECT_EQ(fp8_bits(448.0F, Fp8Format::kE4m3), 0x7e);
  EXPECT_EQ(fp8_bits(0x1p-9F, Fp8Format::kE4m3), 0x01);
  EXPECT_EQ(fp8_bits(1.0F, Fp8Format::kE5m2), 0x3c);
  EXPECT_EQ(fp8_bits(57344.0F, Fp8Format::kE5m2), 0x7b);
  EXPECT_EQ(fp8_bits(0x1p-16F, Fp8Format::kE5m2), 0x01);
  for (const Fp8Format format : kFormats) {
    EXPECT_EQ(fp8_bits(0.0F, format), 0x00);
    EXPECT_EQ(fp8_bits(-0.0F, format), 0x80);
    EXPECT_TRUE(std::isnan(fp8_value(fp8_bits(std::nanf(""), format), format)));
    EXPECT_TRUE(std::isnan(fp8_value(0xff, format)));
  }
}

TEST(Fp8, EveryFiniteNumberComesBack) {
  for (const Fp8Format format : kFormats) {
    for (int bits = 0; bits < 256; ++bits) {
      const float value = fp8_value(static_cast<uint8_t>(bits), format);
      if (std::isfinite(value)) { EXPECT_EQ(fp8_bits(value, format), bits); }
    }
  }
}

// Between any two neighbours: below the middle the lower one, above it the higher one, at it the even one.
TEST(Fp8, RoundsToNearestEven) {
  for (const Fp8Format format : kFormats) {
    const int largest = format == Fp8Format::kE4m3 ? 0x7e : 0x7b;
    for (int bits = 0; bits < largest; ++bits) {
      const float low = fp8_value(static_cast<uint8_t>(bits), format);
      const float high = fp8_value(static_cast<uint8_t>(bits + 1), format);
      const float middle = (low + high) / 2;
      EXPECT_EQ(fp8_bits(std::nextafter(middle, low), format), bits);
      EXPECT_EQ(fp8_bits(std::nextafter(middle, high), format), bits + 1);
      EXPECT_EQ(fp8_bits(middle, format), bits % 2 == 0 ? bits : bits + 1);
    }
  }
}

TEST(Fp8, StopsAtTheLargestFiniteNumber) {
  for (const Fp8Format format : kFormats) {
    const float largest = format == Fp8Format::kE4m3 ? 448.0F : 57344.0F;
    for (const float x : {largest * 1.2F, 1e30F, std::numeric_limits<float>::infinity()}) {
      EXPECT_EQ(fp8_value(fp8_bits(x, format), format), largest);
      EXPECT_EQ(fp8_value(fp8_bits(-x, format), format), -largest);
    }
  }
}

}  // namespace
}  // namespace vortex
