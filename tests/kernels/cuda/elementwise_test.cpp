#include "kernels/cuda/elementwise.h"

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

using ElementwiseTest = DeviceTest;

TEST_F(ElementwiseTest, ResidualNormAgreesWithFloat64) {
  Random random(1);
  for (const int width : {8, 1024, 2048, 2056, 8192}) {
    for (const bool add : {true, false}) {
      SCOPED_TRACE(testing::Message() << "width " << width << " add " << add);
      constexpr std::size_t kTokens = 5;
      const auto w = static_cast<std::size_t>(width);
      const std::vector<Bf16> residual = random_bf16(kTokens * w, random);
      const std::vector<Bf16> x = random_bf16(kTokens * w, random, 3.0F);
      const std::vector<Bf16> weight = random_bf16(w, random);
      DeviceArray<Bf16> device_residual(residual), out(kTokens * w);
      const DeviceArray<Bf16> device_x(x), device_weight(weight);
      out.poison();
      ResidualNorm a;
      a.residual = device_residual.data();
      a.x = add ? device_x.data() : nullptr;
      a.weight = device_weight.data();
      a.out = out.data();
      a.num_tokens = kTokens;
      a.width = width;
      ASSERT_EQ(residual_rms_norm(a, nullptr), cudaSuccess);
      finish();

      std::vector<double> expected(kTokens * w);
      const std::vector<Bf16> sums = device_residual.read();
      for (std::size_t t = 0; t < kTokens; ++t) {
        double squares = 0.0;
        for (std::size_t i = t * w; i < (t + 1) * w; ++i) {
          const double sum = value(residual[i]) + (add ? value(x[i]) : 0.0);
          ASSERT_EQ(value(sums[i]), value(__float2bfloat16(static_cast<float>(sum))));
          squares += value(sums[i]) * value(sums[i]);
        }
        for (std::size_t i = 0; i < w; ++i) {
          expected[t * w + i] = value(sums[t * w + i]) * value(weight[i]) / std::sqrt(squares / width + 1e-6);
        }
      }
      EXPECT_LT(relative_error(values(out.read()), expected), 3e-3);
    }
  }
  ResidualNorm a;
  EXPECT_EQ(residual_rms_norm(a, nullptr), cudaErrorInvalidValue);
}

TEST_F(ElementwiseTest, SwigluAgreesWithFloat64) {
  Random random(2);
  for (const int width : {8, 3072, 6144}) {
    constexpr std::size_t kTokens = 7;
    const auto w = static_cast<std::size_t>(width);
    std::vector<Bf16> gate_up = random_bf16(kTokens * 2 * w, random, 4.0F);
    gate_up[0] = __float2bfloat16(-200.0F);
    gate_up[1] = __float2bfloat16(200.0F);
    const DeviceArray<Bf16> device(gate_up);
    DeviceArray<Bf16> out(kTokens * w);
    out.poison();
    ASSERT_EQ(swiglu(device.data(), out.data(), kTokens, width, nullptr), cudaSuccess);
    finish();
    std::vector<double> expected;
    for (std::size_t t = 0; t < kTokens; ++t) {
      for (std::size_t i = 0; i < w; ++i) {
        const double gate = value(gate_up[t * 2 * w + i]);
        expected.push_back(gate / (1.0 + std::exp(-gate)) * value(gate_up[t * 2 * w + w + i]));
      }
    }
    EXPECT_LT(relative_error(values(out.read()), expected), 3e-3);
  }
  EXPECT_EQ(swiglu(nullptr, nullptr, 1, 8, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace vortex::cuda
