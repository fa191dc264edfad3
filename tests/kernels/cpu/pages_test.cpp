#include "kernels/cpu/pages.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"

namespace vortex::cpu {
namespace {

TEST(Bf16, RoundsToNearestEvenLikeTheVectorKernels) {
  Rng rng(1);
  std::vector<float> x = {0.0F,
                          -0.0F,
                          1.0F,
                          1.00390625F,
                          1.01171875F,
                          3.3e38F,
                          3.4e38F,
                          1e-40F,
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()};
  for (int i = 0; i < 1000; ++i) {
    x.push_back(static_cast<float>((rng.uniform() - 0.5) * std::exp2(rng.between(-140, 127))));
  }
  EXPECT_EQ(round_to_bf16(1.00390625F), 1.0F);       // halfway, to even
  EXPECT_EQ(round_to_bf16(1.01171875F), 1.015625F);  // halfway, to even
  EXPECT_TRUE(std::isnan(round_to_bf16(std::numeric_limits<float>::quiet_NaN())));
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) { continue; }
    const VectorKernels& kernels = vector_kernels(isa);
    const auto count = static_cast<std::int64_t>(x.size());
    std::vector<Bf16> bits(x.size());
    std::vector<float> rounded(x.size());
    std::vector<float> back(x.size());
    kernels.to_bf16(count, x.data(), bits.data());
    kernels.round_bf16(count, x.data(), rounded.data());
    kernels.from_bf16(count, bits.data(), back.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(bits[i], float_to_bf16(x[i])) << x[i];
      ASSERT_EQ(rounded[i], round_to_bf16(x[i])) << x[i];
      ASSERT_EQ(back[i], rounded[i]);
    }
  }
}

TEST(Pages, ScatterThenGatherReturnsRoundedValuesAndTouchesNothingElse) {
  const VectorKernels& kernels = vector_kernels(best_isa());
  constexpr int kHeads = 3;
  constexpr int kPages = 12;
  for (const std::int64_t size : {1, 5, 16, 40}) {
    std::vector<Bf16> memory(static_cast<std::size_t>(kPages * kHeads * size), 0x1234);
    PagedView view{memory.data() + 2 * size, true, kHeads * size, size};  // head 2
    const std::vector<std::int32_t> pages = {7, 0, 11, 3};
    std::vector<float> x(static_cast<std::size_t>(4 * size));
    std::iota(x.begin(), x.end(), 0.3F);
    scatter_pages(kernels, view, pages.data(), 4, x.data());
    std::vector<float> back(x.size());
    gather_pages(kernels, view, pages.data(), 4, 0, back.data());
    for (std::size_t i = 0; i < x.size(); ++i) { EXPECT_EQ(back[i], round_to_bf16(x[i])); }
    std::int64_t untouched = 0;
    for (const Bf16 bits : memory) { untouched += bits == 0x1234 ? 1 : 0; }
    EXPECT_EQ(untouched, (kPages * kHeads - 4) * size);
  }
}

}  // namespace
}  // namespace vortex::cpu
