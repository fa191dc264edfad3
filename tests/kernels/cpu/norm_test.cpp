#include "kernels/cpu/norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace vortex::cpu {
namespace {

TEST(RmsNorm, MatchesTheDefinition) {
  for (int size : {1, 15, 16, 17, 64, 250}) {
    std::vector<float> x;
    std::vector<float> weight;
    double squares = 0;
    for (int i = 0; i < size; ++i) {
      x.push_back(std::sin(static_cast<float>(i)) * 3);
      weight.push_back(1 + 0.01F * static_cast<float>(i));
      squares += static_cast<double>(x.back()) * static_cast<double>(x.back());
    }
    const double factor = 1 / std::sqrt(squares / size + 1e-6);
    std::vector<float> out(x.size());
    rms_norm(x.data(), weight.data(), size, 1e-6F, out.data());
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(out[i], static_cast<double>(x[i]) * factor * static_cast<double>(weight[i]), 2e-6) << i;
    }
    rms_norm(x.data(), weight.data(), size, 1e-6F, x.data());
    EXPECT_EQ(x, out) << "in place";
  }
}

TEST(RmsNorm, ZerosStayZeros) {
  const std::vector<float> weight(20, 1.0F);
  std::vector<float> x(20, 0.0F);
  rms_norm(x.data(), weight.data(), 20, 1e-6F, x.data());
  EXPECT_EQ(x, std::vector<float>(20, 0.0F));
}

}  // namespace
}  // namespace vortex::cpu
