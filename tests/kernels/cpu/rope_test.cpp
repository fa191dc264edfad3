#include "kernels/cpu/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace vortex::cpu {
namespace {

constexpr int kDim = 32;
constexpr double kTheta = 1e6;

std::vector<float> rotated(std::vector<float> head, int64_t position, decltype(rope_rotate)* rotate = rope_rotate) {
  std::vector<float> cosines(kDim / 2);
  std::vector<float> sines(kDim / 2);
  std::vector<double> frequencies;
  for (int i = 0; i < kDim / 2; ++i) { frequencies.push_back(std::pow(kTheta, -2.0 * i / kDim)); }
  rope_angles(position, frequencies.data(), kDim / 2, cosines.data(), sines.data());
  rotate(head.data(), kDim, cosines.data(), sines.data());
  return head;
}

std::vector<float> wave(float frequency) {
  std::vector<float> head;
  for (int i = 0; i < kDim; ++i) { head.push_back(std::cos(frequency * static_cast<float>(i))); }
  return head;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) { sum += static_cast<double>(a[i]) * static_cast<double>(b[i]); }
  return sum;
}

TEST(Rope, MatchesTheDefinition) {
  const std::vector<float> head = wave(0.7F);
  for (int64_t position : {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{4095}}) {
    const std::vector<float> out = rotated(head, position);
    for (size_t i = 0; i < kDim / 2; ++i) {
      const double angle = static_cast<double>(position) / std::pow(kTheta, 2.0 * static_cast<double>(i) / kDim);
      const auto a = static_cast<double>(head[i]);
      const auto b = static_cast<double>(head[i + kDim / 2]);
      EXPECT_NEAR(out[i], a * std::cos(angle) - b * std::sin(angle), 1e-6);
      EXPECT_NEAR(out[i + kDim / 2], b * std::cos(angle) + a * std::sin(angle), 1e-6);
    }
  }
}

// Pairs side by side turn as the same pairs do half a head apart.
TEST(Rope, PairsStayWhereTheyAre) {
  const std::vector<float> head = wave(0.7F);
  std::vector<float> apart(kDim);
  for (size_t i = 0; i < kDim / 2; ++i) {
    apart[i] = head[2 * i];
    apart[i + kDim / 2] = head[2 * i + 1];
  }
  const std::vector<float> expected = rotated(apart, 19, rope_rotate);
  const std::vector<float> out = rotated(head, 19, rope_rotate_pairs);
  for (size_t i = 0; i < kDim / 2; ++i) {
    EXPECT_EQ(out[2 * i], expected[i]);
    EXPECT_EQ(out[2 * i + 1], expected[i + kDim / 2]);
  }
}

TEST(Rope, DotDependsOnTheDistanceAlone) {
  const std::vector<float> q = wave(0.7F);
  const std::vector<float> k = wave(1.3F);
  const double expected = dot(rotated(q, 20), rotated(k, 3));
  for (int shift : {1, 100, 4000}) { EXPECT_NEAR(dot(rotated(q, 20 + shift), rotated(k, 3 + shift)), expected, 1e-5); }
}

}  // namespace
}  // namespace vortex::cpu
