#include "kernels/cuda/log_probs.h"

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

struct Case {
  int rows;
  int vocab;
  int num_tokens;
  int num_top;
  bool ties = false;
};

void expect_log_probs(const Case& c, Random& random) {
  SCOPED_TRACE(testing::Message() << c.rows << " x " << c.vocab << " top " << c.num_top << (c.ties ? " ties" : ""));
  const int stride = (c.vocab + 7) / 8 * 8;
  std::vector<float> logits(static_cast<std::size_t>(c.rows * stride), std::nanf(""));
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(c.rows * c.num_tokens));
  for (int row = 0; row < c.rows; ++row) {
    for (int t = 0; t < c.vocab; ++t) {
      const float x = normal(random, 5.0F);
      logits[static_cast<std::size_t>(row * stride + t)] = c.ties ? std::round(x) : x;
    }
    for (int i = 0; i < c.num_tokens; ++i) {
      tokens[static_cast<std::size_t>(row * c.num_tokens + i)] =
          i % 5 == 3 ? -1 : static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(c.vocab));
    }
  }
  std::vector<std::uint8_t> active(static_cast<std::size_t>(c.rows), 1);
  if (c.rows > 2) { active[1] = 0; }
  const DeviceArray<float> device_logits(logits);
  const DeviceArray<std::int32_t> device_tokens(tokens);
  const DeviceArray<std::uint8_t> device_active(active);
  DeviceArray<float> out(tokens.size());
  DeviceArray<std::int32_t> top(static_cast<std::size_t>(c.rows * c.num_top));
  DeviceArray<float> top_out(top.size());
  out.poison();
  top.poison();
  LogProbs a;
  a.logits = device_logits.data();
  a.num_rows = c.rows;
  a.vocab = c.vocab;
  a.stride = stride;
  a.active = device_active.data();
  a.tokens = device_tokens.data();
  a.num_tokens = c.num_tokens;
  a.out = out.data();
  a.num_top = c.num_top;
  a.top = top.data();
  a.top_out = top_out.data();
  ASSERT_EQ(log_probs(a, nullptr), cudaSuccess);
  finish();
  const std::vector<float> told = out.read();
  const std::vector<std::int32_t> best = top.read();
  const std::vector<float> best_told = top_out.read();
  for (int row = 0; row < c.rows; ++row) {
    SCOPED_TRACE(row);
    const float* x = &logits[static_cast<std::size_t>(row * stride)];
    const double peak = static_cast<double>(*std::max_element(x, x + c.vocab));
    double sum = 0;
    for (int t = 0; t < c.vocab; ++t) { sum += std::exp(static_cast<double>(x[t]) - peak); }
    const auto expected = [&](std::int32_t t) { return static_cast<double>(x[t]) - peak - std::log(sum); };
    std::vector<std::int32_t> order(static_cast<std::size_t>(c.vocab));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t i, std::int32_t j) { return x[i] > x[j]; });
    for (int i = 0; i < c.num_tokens; ++i) {
      const auto at = static_cast<std::size_t>(row * c.num_tokens + i);
      if (tokens[at] < 0 || active[static_cast<std::size_t>(row)] == 0) {
        EXPECT_TRUE(std::isnan(told[at])) << "written though nobody asked";
      } else {
        ASSERT_NEAR(static_cast<double>(told[at]), expected(tokens[at]), 2e-5);
      }
    }
    for (int i = 0; i < c.num_top; ++i) {
      const auto at = static_cast<std::size_t>(row * c.num_top + i);
      if (active[static_cast<std::size_t>(row)] == 0) {
        EXPECT_EQ(best[at], -1);
        continue;
      }
      ASSERT_EQ(best[at], order[static_cast<std::size_t>(i)]) << "place " << i;
      ASSERT_NEAR(static_cast<double>(best_told[at]), expected(best[at]), 2e-5);
    }
  }
}

using LogProbsTest = DeviceTest;

TEST_F(LogProbsTest, AgreesWithFloat64) {
  Random random(1);
  for (const bool ties : {false, true}) {
    expect_log_probs({1, 7, 3, 7, ties}, random);
    expect_log_probs({5, 1024, 33, 1, ties}, random);
    expect_log_probs({3, 49152, 33, 32, ties}, random);
    expect_log_probs({2, 151936, 1, 64, ties}, random);
  }
}

TEST_F(LogProbsTest, RefusesBadArguments) {
  LogProbs a;
  EXPECT_EQ(log_probs(a, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace vortex::cuda
