#include "kernels/cpu/select.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/bf16.h"

namespace vortex::cpu {
namespace {

std::vector<std::int32_t> select(const std::vector<float>& scores, int k, double tolerance = 0.0, int offset = 0) {
  std::vector<std::int32_t> out(scores.size());
  out.resize(static_cast<std::size_t>(
      select_largest(scores.data(), static_cast<int>(scores.size()), k, tolerance, offset, out.data())));
  return out;
}

std::vector<std::int32_t> by_sorting(const std::vector<float>& scores, int k) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const float x = scores[static_cast<std::size_t>(a)];
    const float y = scores[static_cast<std::size_t>(b)];
    return std::isnan(y) ? !std::isnan(x) : x > y;
  });
  order.resize(std::min(order.size(), static_cast<std::size_t>(k)));
  std::sort(order.begin(), order.end());
  return order;
}

TEST(Select, AgreesWithSorting) {
  Rng rng(1);
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> scores(rng.below(200));
    const int kind = rng.between(0, 3);
    for (float& s : scores) {
      const auto x = static_cast<float>(rng.uniform() * 2 - 1);
      s = kind == 0 ? x : kind == 1 ? round_to_bf16(x * 1e-3F) : kind == 2 ? std::round(x * 3) : x * 1e30F;
      s = rng.below(40) == 0 ? std::numeric_limits<float>::quiet_NaN() : s;
      s = rng.below(40) == 0 ? -std::numeric_limits<float>::infinity() : s;
    }
    const int k = rng.between(0, static_cast<int>(scores.size()) + 2);
    ASSERT_EQ(select(scores, k), by_sorting(scores, k)) << round;
  }
}

TEST(Select, TiesGoToTheLowerPosition) {
  EXPECT_EQ(select(std::vector<float>(9, 2.5F), 4, 0.0, 10), (std::vector<std::int32_t>{10, 11, 12, 13}));
  EXPECT_EQ(select({-0.0F, 0.0F, -0.0F}, 2), (std::vector<std::int32_t>{0, 1}));
}

TEST(Select, ANumberBeatsANaNAndNothingIsInvented) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(select({nan, -1e30F, nan, -nan}, 1), (std::vector<std::int32_t>{1}));
  EXPECT_EQ(select({nan, -1e30F, nan, -nan}, 3), (std::vector<std::int32_t>{0, 1, 2}));
  EXPECT_TRUE(select({1, 2}, -3).empty());
  EXPECT_TRUE(select({}, 3).empty());
}

TEST(Select, ToleranceKeepsItsPromise) {
  Rng rng(2);
  int different = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<float> scores(static_cast<std::size_t>(rng.between(20, 300)));
    for (float& s : scores) { s = static_cast<float>(rng.uniform() * 8); }
    const int k = rng.between(1, static_cast<int>(scores.size()) - 1);
    const double tolerance = rng.uniform();
    const auto exact = by_sorting(scores, k);
    const auto chosen = select(scores, k, tolerance);
    std::vector<std::int32_t> common;
    std::set_intersection(exact.begin(), exact.end(), chosen.begin(), chosen.end(), std::back_inserter(common));
    ASSERT_EQ(chosen.size(), exact.size());
    ASSERT_GE(static_cast<double>(common.size()), std::ceil((1 - tolerance) * k));
    different += chosen != exact ? 1 : 0;
  }
  EXPECT_GT(different, 50);  // the approximation is really taken
}

TEST(Select, MergesAscendingLists) {
  const std::vector<std::int32_t> a = {0, 3, 5, 9};
  const std::vector<std::int32_t> b = {0, 1, 5, 8, 9, 10};
  std::vector<std::int32_t> out(10);
  out.resize(static_cast<std::size_t>(merge_ascending(a.data(), 4, b.data(), 6, out.data())));
  EXPECT_EQ(out, (std::vector<std::int32_t>{0, 1, 3, 5, 8, 9, 10}));
}

}  // namespace
}  // namespace vortex::cpu
