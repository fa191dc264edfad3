#include "study/staircase.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/rng.h"

namespace vortex::study {
namespace {

using Pairs = std::vector<std::pair<double, double>>;  // of speed and accuracy

bool dominates(const std::pair<double, double>& a, const std::pair<double, double>& b) {
  return a.first >= b.first && a.second >= b.second && a != b;
}

// Few values, so that many are equal.
Pairs drawn(size_t count, uint64_t values, uint64_t seed) {
  Rng rng(stream_key(seed, count));
  Pairs pairs;
  for (size_t i = 0; i < count; ++i) {
    const auto speed = static_cast<double>(rng.below(values));
    pairs.emplace_back(speed, static_cast<double>(rng.below(values)));
  }
  return pairs;
}

TEST(Staircase, HoldsWhatNoOtherDominates) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const Pairs pairs = drawn(1 + seed % 40, 3 + seed % 9, seed);
    Staircase staircase;
    for (const auto& [speed, accuracy] : pairs) { staircase.add(speed, accuracy); }
    for (const auto& one : pairs) {
      bool dominated = false;
      for (const auto& other : pairs) { dominated = dominated || dominates(other, one); }
      EXPECT_EQ(staircase.holds(one.first, one.second), !dominated) << "seed " << seed;
    }
    for (size_t i = 1; i < staircase.steps().size(); ++i) {
      EXPECT_LT(staircase.steps()[i].speed, staircase.steps()[i - 1].speed);
      EXPECT_GT(staircase.steps()[i].accuracy, staircase.steps()[i - 1].accuracy);
    }
  }
}

TEST(Staircase, OfNothingHoldsNothing) {
  EXPECT_FALSE(Staircase().holds(0, 0));
  EXPECT_TRUE(Staircase().steps().empty());
}

}  // namespace
}  // namespace vortex::study
