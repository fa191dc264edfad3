#include "kernels/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace vortex::cpu {
namespace {

std::vector<float> random_values(size_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(size);
  for (float& value : values) { value = static_cast<float>(generator()) / 4294967296.0F - 0.5F; }
  return values;
}

struct Weights {
  Weights(int n_outputs, int depth) : n(n_outputs), k(depth), rows(random_values(static_cast<size_t>(n * k), 1)) {
    panels.assign(static_cast<size_t>(packed_size(n, k)), 0);
    for (float& value : rows) { value = round_to_bf16(value); }
    for (int i = 0; i < n; ++i) { pack_row(&rows[static_cast<size_t>(i * k)], i, n, k, panels.data()); }
  }
  PackedMatrix view() const { return {panels.data(), n, k}; }

  int n;
  int k;
  std::vector<float> rows;
  std::vector<Bf16> panels;
};

std::vector<Isa> supported() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (isa_supported(isa)) { all.push_back(isa); }
  }
  return all;
}

struct Size {
  int rows;
  int n;
  int k;
};
const Size kSizes[] = {{1, 1, 1},    {1, 16, 8},    {2, 15, 300},   {5, 33, 257}, {6, 48, 256}, {7, 64, 64},
                       {13, 17, 31}, {16, 40, 640}, {25, 100, 513}, {1, 150, 70}, {12, 80, 35}};

TEST(Gemm, ProductsMadeTogetherHaveTheBitsOfEachAlone) {
  std::vector<Weights> weights;
  std::vector<std::vector<float>> inputs;
  std::vector<std::vector<float>> alone;
  for (const Size& size : kSizes) {
    const Weights& w = weights.emplace_back(size.n, size.k);
    inputs.push_back(random_values(static_cast<size_t>(size.rows * size.k), 2));
    alone.emplace_back(static_cast<size_t>(size.rows * size.n), NAN);
    gemm(inputs.back().data(), size.k, size.rows, w.view(), alone.back().data(), size.n);
  }
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    std::vector<std::vector<float>> together;
    std::vector<Product> products;
    for (size_t i = 0; i < std::size(kSizes); ++i) { together.emplace_back(alone[i].size(), NAN); }
    for (size_t i = 0; i < std::size(kSizes); ++i) {
      products.push_back(
          {inputs[i].data(), kSizes[i].k, kSizes[i].rows, weights[i].view(), together[i].data(), kSizes[i].n});
    }
    gemm_all(products.data(), static_cast<int>(products.size()), &pool);
    EXPECT_EQ(together, alone) << threads;
  }
}

TEST(Gemm, IsTheDocumentedChainOfFmasOnEveryInstructionSet) {
  for (const Size& size : kSizes) {
    const Weights w(size.n, size.k);
    const std::vector<float> x = random_values(static_cast<size_t>(size.rows * size.k), 2);
    for (Isa isa : supported()) {
      std::vector<float> y(static_cast<size_t>(size.rows * size.n), NAN);
      gemm(x.data(), size.k, size.rows, w.view(), y.data(), size.n, nullptr, isa);
      for (int row = 0; row < size.rows; ++row) {
        for (int n = 0; n < size.n; ++n) {
          float expected = 0;
          for (int k = 0; k < size.k; ++k) {
            expected = std::fma(x[static_cast<size_t>(row * size.k + k)], w.rows[static_cast<size_t>(n * size.k + k)],
                                expected);
          }
          ASSERT_EQ(y[static_cast<size_t>(row * size.n + n)], expected)
              << isa_name(isa) << " row " << row << " of " << size.rows << ", output " << n << " of " << size.n;
        }
      }
    }
  }
}

TEST(Gemm, HonoursStridesAndWritesNothingElse) {
  const Weights w(20, 24);
  const std::vector<float> x = random_values(7 * 30, 3);
  std::vector<float> expected(7 * 20);
  for (int row = 0; row < 7; ++row) {
    gemm(&x[static_cast<size_t>(row * 30)], 30, 1, w.view(), &expected[static_cast<size_t>(row * 20)], 20);
  }
  std::vector<float> y(7 * 26, -7.0F);
  gemm(x.data(), 30, 7, w.view(), y.data(), 26);
  for (size_t i = 0; i < y.size(); ++i) { EXPECT_EQ(y[i], i % 26 < 20 ? expected[i / 26 * 20 + i % 26] : -7.0F) << i; }
}

TEST(Gemm, KindsOfMemoryDoNotChangeABit) {
  const Weights w(420, 301);
  PackedMatrix small = w.view();
  small.small_pages = true;
  for (const int rows : {1, 5}) {
    const std::vector<float> x = random_values(static_cast<size_t>(rows * 301), 5);
    for (Isa isa : supported()) {
      std::vector<float> y(static_cast<size_t>(rows * 420));
      std::vector<float> expected(y.size());
      gemm(x.data(), 301, rows, w.view(), expected.data(), 420, nullptr, isa);
      gemm(x.data(), 301, rows, small, y.data(), 420, nullptr, isa);
      EXPECT_EQ(y, expected) << isa_name(isa) << ", " << rows << " rows";
    }
  }
}

// [ceil(n / 64)][padded k / 2][panels of the group][16][2], as gemm.h says.
TEST(Gemm, PanelsLieInGroupsOfFour) {
  const Weights w(100, 6);
  ASSERT_EQ(w.panels.size(), 7U * 16 * 32);
  std::vector<Bf16> expected(w.panels.size());
  for (int output = 0; output < 100; ++output) {
    const int group = output / 64;
    const int width = group == 0 ? 4 : 3;
    for (int k = 0; k < 6; ++k) {
      const int place = group * 4 * 16 * 32 + ((k / 2 * width + output % 64 / 16) * 16 + output % 16) * 2 + k % 2;
      expected[static_cast<size_t>(place)] = float_to_bf16(w.rows[static_cast<size_t>(output * 6 + k)]);
    }
  }
  EXPECT_EQ(w.panels, expected);
}

TEST(Gemm, ThreadsDoNotChangeABit) {
  for (const int rows : {1, 7, 16}) {
    const Weights w(150, 70);
    const std::vector<float> x = random_values(static_cast<size_t>(rows * 70), 4);
    std::vector<float> expected(static_cast<size_t>(rows * 150));
    gemm(x.data(), 70, rows, w.view(), expected.data(), 150);
    for (int threads : {2, 3, 9}) {
      ThreadPool pool(threads);
      std::vector<float> y(expected.size());
      gemm(x.data(), 70, rows, w.view(), y.data(), 150, &pool);
      EXPECT_EQ(y, expected) << rows << " rows, " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace vortex::cpu
