#include "web/server/structure.h"

#include <gtest/gtest.h>

#include <cmath>

namespace vortex::web {
namespace {

TEST(Structure, AlikeOnesBecomeNeighbours) {
  // Two families, interleaved: 0 2 4 and 1 3 5.
  const size_t n = 6;
  std::vector<double> matrix(n * n, 0.0);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      if (i != j) { matrix[i * n + j] = i % 2 == j % 2 ? 0.1 : 0.9; }
    }
  }
  const std::vector<int> order = near_order(matrix, n);
  ASSERT_EQ(order.size(), n);
  for (size_t i : {1u, 2u, 4u, 5u}) { EXPECT_EQ(order[i] % 2, order[i - 1] % 2) << i; }
}

TEST(Structure, APlaneKeepsDistancesThatFitIntoOne) {
  const std::vector<std::pair<double, double>> corners = {{0, 0}, {3, 0}, {0, 4}, {3, 4}, {1, 1}};
  const size_t n = corners.size();
  std::vector<double> matrix(n * n);
  const auto distance = [](auto a, auto b) { return std::hypot(a.first - b.first, a.second - b.second); };
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) { matrix[i * n + j] = distance(corners[i], corners[j]); }
  }
  const auto places = plane_of(matrix, n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) { EXPECT_NEAR(distance(places[i], places[j]), matrix[i * n + j], 1e-6); }
  }
}

TEST(Structure, NothingAndOneAreNoTrouble) {
  EXPECT_TRUE(near_order({}, 0).empty());
  EXPECT_EQ(near_order({0.0}, 1), std::vector<int>{0});
  EXPECT_EQ(plane_of({0.0}, 1).size(), 1u);
}

}  // namespace
}  // namespace vortex::web
