#include "kernels/cpu/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace vortex::cpu {
namespace {

std::vector<float> ramp(int size) {
  std::vector<float> x;
  for (int i = 0; i < size; ++i) { x.push_back(static_cast<float>(i - size / 2) * 0.37F); }
  return x;
}

TEST(Swiglu, MatchesTheDefinition) {
  for (int size : {1, 15, 16, 100, 333}) {
    const std::vector<float> gate = ramp(size);
    std::vector<float> up = ramp(size);
    for (float& value : up) { value = 1.5F - value; }
    std::vector<float> out(gate.size() + 1, -7.0F);
    swiglu(gate.data(), up.data(), size, out.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      const auto g = static_cast<double>(gate[i]);
      const double expected = g / (1 + std::exp(-g)) * static_cast<double>(up[i]);
      EXPECT_NEAR(out[i], expected, 1e-6 * std::abs(expected) + 1e-12) << g;
    }
    EXPECT_EQ(out.back(), -7.0F);
  }
}

TEST(Swiglu, SaturatesWithoutNan) {
  const float gate[] = {-1000.0F, -90.0F, 90.0F, 1000.0F};
  const float up[] = {2.0F, 2.0F, 2.0F, 2.0F};
  float out[4];
  swiglu(gate, up, 4, out);
  EXPECT_NEAR(out[0], 0.0F, 1e-30F);
  EXPECT_NEAR(out[1], 0.0F, 1e-30F);
  EXPECT_EQ(out[2], 180.0F);
  EXPECT_EQ(out[3], 2000.0F);
}

TEST(ExpShifted, MatchesTheDefinition) {
  const std::vector<float> x = ramp(100);
  std::vector<float> out(x.size());
  exp_shifted(x.data(), 100, 3.0F, 0.5F, out.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp((static_cast<double>(x[i]) - 3.0) * 0.5);
    EXPECT_NEAR(out[i] / expected, 1.0, 2e-6) << x[i];
  }
}

TEST(Activation, GivesTheSameBitsOnEveryInstructionSet) {
  const std::vector<float> x = ramp(333);
  std::vector<float> expected(x.size());
  std::vector<float> out(x.size());
  for (Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) { continue; }
    swiglu(x.data(), x.data(), 333, expected.data(), Isa::kScalar);
    swiglu(x.data(), x.data(), 333, out.data(), isa);
    EXPECT_EQ(out, expected) << isa_name(isa);
    exp_shifted(x.data(), 333, 1.0F, 0.9F, expected.data(), Isa::kScalar);
    exp_shifted(x.data(), 333, 1.0F, 0.9F, out.data(), isa);
    EXPECT_EQ(out, expected) << isa_name(isa);
  }
}

}  // namespace
}  // namespace vortex::cpu
