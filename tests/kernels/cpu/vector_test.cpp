#include "kernels/cpu/vector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

#include "base/rng.h"

namespace vortex::cpu {
namespace {

std::vector<float> random_values(std::size_t count, Rng& rng, double scale = 2.0) {
  std::vector<float> x(count);
  for (float& v : x) { v = static_cast<float>((rng.uniform() - 0.5) * scale); }
  return x;
}

std::vector<Isa> isas() {
  std::vector<Isa> result = {Isa::kScalar};
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (isa_supported(isa)) { result.push_back(isa); }
  }
  return result;
}

// Runs on every instruction set, checks that all give the same bits, and gives the result.
template <typename Run>
std::vector<float> on_all(std::size_t count, Run&& run) {
  std::vector<float> first;
  for (const Isa isa : isas()) {
    std::vector<float> out(count, -7.0F);
    run(vector_kernels(isa), out.data());
    if (first.empty()) { first = out; }
    for (std::size_t i = 0; i < count; ++i) {
      const bool nan = std::isnan(first[i]) && std::isnan(out[i]);
      EXPECT_TRUE(nan || std::memcmp(&first[i], &out[i], sizeof(float)) == 0)
          << isa_name(isa) << " " << i << ": " << out[i] << " instead of " << first[i];
    }
  }
  return first;
}

TEST(Vector, ExpAndLogAreAccurateOverTheirWholeRange) {
  std::vector<float> x;
  for (int i = -2100; i <= 1790; ++i) { x.push_back(static_cast<float>(i) * 0.05F + 0.013F); }
  const auto count = static_cast<std::int64_t>(x.size());
  const auto exps = on_all(
      x.size(), [&](const VectorKernels& k, float* out) { k.unary(Unary::kExp, 0.0F, 1.0F, count, x.data(), out); });
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    if (expected > std::numeric_limits<float>::max()) {
      EXPECT_TRUE(std::isinf(exps[i])) << x[i];
    } else {
      EXPECT_NEAR(exps[i], expected, expected * 4 * 0x1p-24 + 1.5e-45) << x[i];
    }
  }
  std::vector<float> positive;
  for (int e = -149; e <= 127; ++e) {
    for (int i = 0; i < 7; ++i) { positive.push_back(static_cast<float>(std::ldexp(1.0 + i / 7.0, e))); }
  }
  for (int i = -200; i <= 200; ++i) { positive.push_back(1.0F + static_cast<float>(i) * 1e-4F); }
  const auto logs = on_all(positive.size(), [&](const VectorKernels& k, float* out) {
    k.unary(Unary::kLog, 0.0F, 1.0F, static_cast<std::int64_t>(positive.size()), positive.data(), out);
  });
  for (std::size_t i = 0; i < positive.size(); ++i) {
    const double expected = std::log(static_cast<double>(positive[i]));
    EXPECT_NEAR(logs[i], expected, std::abs(expected) * 6 * 0x1p-24) << positive[i];
  }
}

TEST(Vector, ExpAndLogKeepSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {inf, -inf, nan, 0.0F, -1.0F};
  const auto exps =
      on_all(5, [&](const VectorKernels& k, float* out) { k.unary(Unary::kExp, 0.0F, 1.0F, 5, x.data(), out); });
  EXPECT_EQ(exps[0], inf);
  EXPECT_EQ(exps[1], 0.0F);
  EXPECT_TRUE(std::isnan(exps[2]));
  EXPECT_EQ(exps[3], 1.0F);
  const auto logs =
      on_all(5, [&](const VectorKernels& k, float* out) { k.unary(Unary::kLog, 0.0F, 1.0F, 5, x.data(), out); });
  EXPECT_EQ(logs[0], inf);
  EXPECT_TRUE(std::isnan(logs[1]));
  EXPECT_TRUE(std::isnan(logs[2]));
  EXPECT_EQ(logs[3], -inf);
  EXPECT_TRUE(std::isnan(logs[4]));
}

TEST(Vector, BinaryBroadcastsLikeNumPy) {
  Rng rng(3);
  for (int round = 0; round < 300; ++round) {
    const Extent e{rng.between(1, 40), rng.between(1, 5), rng.between(1, 37)};
    const auto side = [&] {
      return Operand{nullptr, rng.below(2) == 0 ? 1 : e.rows, rng.below(2) == 0 ? 1 : e.cols, rng.below(2) == 0};
    };
    Operand x = side();
    Operand y{nullptr, e.rows, e.cols, true};
    if (rng.below(2) == 0) { std::swap(x, y); }
    const auto xs = random_values(static_cast<std::size_t>((x.per_page ? e.pages : 1) * x.rows * x.cols), rng);
    const auto ys = random_values(static_cast<std::size_t>((y.per_page ? e.pages : 1) * y.rows * y.cols), rng);
    x.data = xs.data();
    y.data = ys.data();
    const auto out = on_all(static_cast<std::size_t>(e.pages * e.size()), [&](const VectorKernels& k, float* to) {
      k.binary(Binary::kAdd, 2.0F, -3.0F, e, x, y, to);
    });
    const auto at = [](const Operand& o, std::int64_t p, int r, int c) {
      return o.data[((o.per_page ? p : 0) * o.rows + (o.rows == 1 ? 0 : r)) * o.cols + (o.cols == 1 ? 0 : c)];
    };
    std::size_t i = 0;
    for (std::int64_t p = 0; p < e.pages; ++p) {
      for (int r = 0; r < e.rows; ++r) {
        for (int c = 0; c < e.cols; ++c, ++i) {
          ASSERT_EQ(out[i], std::fma(2.0F, at(x, p, r, c), -3.0F * at(y, p, r, c)));
        }
      }
    }
  }
}

TEST(Vector, ANaNIsNeverHiddenByAMaximum) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {nan, 1.0F, nan, 2.0F};
  const std::vector<float> y = {1.0F, nan, nan, 1.0F};
  for (const Binary op : {Binary::kMaximum, Binary::kMinimum}) {
    const auto out = on_all(4, [&](const VectorKernels& k, float* to) {
      k.binary(op, 1.0F, 1.0F, {4, 1, 1}, {x.data()}, {y.data()}, to);
    });
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]) && std::isnan(out[2]));
    EXPECT_EQ(out[3], op == Binary::kMaximum ? 2.0F : 1.0F);
  }
  std::vector<float> line(40, 1.0F);
  line[33] = nan;
  const auto top = on_all(1, [&](const VectorKernels& k, float* to) {
    k.reduce_cols(Reduction::kMax, {1, 1, 40}, 40, line.data(), to);
  });
  EXPECT_TRUE(std::isnan(top[0]));
}

TEST(Vector, ReductionsAndProductsMatchFloat64) {
  Rng rng(4);
  for (int round = 0; round < 200; ++round) {
    const Extent e{rng.between(1, 20), rng.between(1, 9), rng.between(1, 70)};
    const auto x = random_values(static_cast<std::size_t>(e.pages * e.size()), rng);
    const auto rows = on_all(static_cast<std::size_t>(e.pages * e.cols), [&](const VectorKernels& k, float* to) {
      k.reduce_rows(Reduction::kMean, e, e.rows, x.data(), to);
    });
    const auto cols = on_all(static_cast<std::size_t>(e.pages * e.rows), [&](const VectorKernels& k, float* to) {
      k.reduce_cols(Reduction::kL2Norm, e, e.cols, x.data(), to);
    });
    const Operand a{x.data(), e.rows, e.cols, true};
    const auto products = on_all(static_cast<std::size_t>(e.pages * e.rows * e.rows),
                                 [&](const VectorKernels& k, float* to) { k.gemm(e.pages, a, a, to); });
    for (std::int64_t p = 0; p < e.pages; ++p) {
      const float* page = x.data() + p * e.size();
      for (int c = 0; c < e.cols; ++c) {
        double sum = 0;
        for (int r = 0; r < e.rows; ++r) { sum += page[r * e.cols + c]; }
        ASSERT_NEAR(rows[static_cast<std::size_t>(p * e.cols + c)], sum / e.rows, 1e-6);
      }
      for (int r = 0; r < e.rows; ++r) {
        for (int s = 0; s < e.rows; ++s) {
          double dot = 0;
          for (int c = 0; c < e.cols; ++c) {
            dot += static_cast<double>(page[r * e.cols + c]) * static_cast<double>(page[s * e.cols + c]);
          }
          ASSERT_NEAR(products[static_cast<std::size_t>((p * e.rows + r) * e.rows + s)], dot, 1e-5);
          if (r == s) { ASSERT_NEAR(cols[static_cast<std::size_t>(p * e.rows + r)], std::sqrt(dot), 1e-5); }
        }
      }
    }
  }
}

TEST(Vector, ABoundIsItsPartsToTheBit) {
  Rng rng(9);
  for (const auto& [rows, cols, group] : {std::tuple{1, 64, 64}, {3, 48, 16}, {2, 128, 32}, {5, 16, 16}}) {
    constexpr std::int64_t kPages = 7;
    const Extent extent{kPages, rows, cols};
    const auto whole = static_cast<std::size_t>(kPages * rows * cols);
    const auto q = random_values(static_cast<std::size_t>(rows * cols), rng);
    auto most = random_values(static_cast<std::size_t>(kPages * cols), rng);
    const auto least = random_values(whole, rng);
    most[5] = std::numeric_limits<float>::quiet_NaN();
    const Operand left[] = {{q.data(), rows, cols, false}, {most.data(), 1, cols, true}};
    const Operand right[] = {{q.data(), rows, cols, false}, {least.data(), rows, cols, true}};
    for (const Binary bound : {Binary::kMaximum, Binary::kMinimum}) {
      for (const Reduction op : {Reduction::kSum, Reduction::kMean}) {
        const auto count = whole / static_cast<std::size_t>(group);
        const auto fused = on_all(count, [&](const VectorKernels& k, float* out) {
          k.reduce_bound(bound, op, extent, group, left, right, out);
        });
        const auto parts = on_all(count, [&](const VectorKernels& k, float* out) {
          std::vector<float> a(whole);
          std::vector<float> b(whole);
          std::vector<float> c(whole);
          k.binary(Binary::kMultiply, 1, 1, extent, left[0], left[1], a.data());
          k.binary(Binary::kMultiply, 1, 1, extent, right[0], right[1], b.data());
          k.binary(bound, 1, 1, extent, {a.data(), rows, cols, true}, {b.data(), rows, cols, true}, c.data());
          k.reduce_cols(op, extent, group, c.data(), out);
        });
        for (std::size_t i = 0; i < count; ++i) {
          const bool nan = std::isnan(fused[i]) && std::isnan(parts[i]);
          EXPECT_TRUE(nan || fused[i] == parts[i]) << rows << " x " << cols << ", " << i;
        }
      }
    }
  }
}

TEST(Vector, OperationsOverPagesMatchFloat64) {
  Rng rng(5);
  for (const std::int64_t size : {1, 2, 5, 16, 33}) {
    for (const std::int64_t pages : {1, 2, 3, 15, 16, 17, 40, 100}) {
      const auto x = random_values(static_cast<std::size_t>(pages * size), rng);
      std::vector<float> scratch(static_cast<std::size_t>(32 * size));
      const auto soft = on_all(x.size(), [&](const VectorKernels& k, float* to) {
        k.transform_pages(PageTransform::kSoftmax, {-3.0F}, pages, size, x.data(), to, scratch.data());
      });
      const auto unit = on_all(x.size(), [&](const VectorKernels& k, float* to) {
        k.transform_pages(PageTransform::kNormalize, {}, pages, size, x.data(), to, scratch.data());
      });
      const auto least = on_all(static_cast<std::size_t>(size), [&](const VectorKernels& k, float* to) {
        k.reduce_pages(Reduction::kMin, pages, size, x.data(), to, scratch.data());
      });
      for (std::int64_t c = 0; c < size; ++c) {
        double total = 0;
        double squares = 0;
        float smallest = x[static_cast<std::size_t>(c)];
        for (std::int64_t p = 0; p < pages; ++p) {
          const float v = x[static_cast<std::size_t>(p * size + c)];
          total += std::exp(-3.0 * static_cast<double>(v));
          squares += static_cast<double>(v) * static_cast<double>(v);
          smallest = std::min(smallest, v);
        }
        EXPECT_EQ(least[static_cast<std::size_t>(c)], smallest);
        for (std::int64_t p = 0; p < pages; ++p) {
          const auto i = static_cast<std::size_t>(p * size + c);
          ASSERT_NEAR(soft[i], std::exp(-3.0 * static_cast<double>(x[i])) / total, 1e-6);
          ASSERT_NEAR(unit[i], static_cast<double>(x[i]) / std::sqrt(squares), 1e-6);
        }
      }
    }
  }
}

TEST(Vector, AnEmptyMiddleReducesToZero) {
  const float untouched = 5.0F;
  for (const Reduction op : {Reduction::kMean, Reduction::kMax, Reduction::kMin, Reduction::kSum, Reduction::kL2Norm}) {
    const auto out = on_all(3, [&](const VectorKernels& k, float* to) {
      float scratch[96];
      k.reduce_pages(op, 0, 3, &untouched, to, scratch);
    });
    EXPECT_EQ(out, (std::vector<float>{0, 0, 0}));
  }
}

TEST(Vector, ConvolutionLooksBackOnly) {
  const std::vector<float> x = {1, 10, 100, 1000};
  const std::vector<float> weight = {1, 2, 3};
  const auto out = on_all(4, [&](const VectorKernels& k, float* to) {
    k.transform_pages(PageTransform::kConvolve, {1, 3, weight.data()}, 4, 1, x.data(), to, nullptr);
  });
  EXPECT_EQ(out, (std::vector<float>{1, 12, 123, 1230}));
}

}  // namespace
}  // namespace vortex::cpu
