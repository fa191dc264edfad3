#include "kernels/cpu/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace vortex::cpu {
namespace {

const std::vector<float> kLogits = {0.5F, 2.0F, -1.0F, 2.0F, 1.0F, -3.0F, 0.0F};

int draw(const std::vector<float>& logits, double temperature, int top_k, double top_p, double uniform) {
  std::vector<std::int32_t> order(logits.size());
  std::vector<float> weights(logits.size());
  return sample(logits.data(), static_cast<int>(logits.size()), temperature, top_k, top_p, uniform, order.data(),
                weights.data());
}

// Draws with a fixed seed and compares the counts with the distribution: the statistic is chi-square with one degree
// of freedom fewer than there are possible tokens.
double chi_square(double temperature, int top_k, double top_p, const std::vector<double>& expected) {
  constexpr int kDraws = 20000;
  std::mt19937_64 generator(11);
  std::vector<int> counts(kLogits.size());
  for (int i = 0; i < kDraws; ++i) {
    const double uniform = static_cast<double>(generator() >> 11) * 0x1p-53;
    ++counts[static_cast<size_t>(draw(kLogits, temperature, top_k, top_p, uniform))];
  }
  double statistic = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i;
      continue;
    }
    const double difference = counts[i] - kDraws * expected[i];
    statistic += difference * difference / (kDraws * expected[i]);
  }
  return statistic;
}

// Softmax over the tokens that `kept` names.
std::vector<double> softmax(double temperature, const std::vector<int>& kept) {
  std::vector<double> p(kLogits.size(), 0.0);
  double total = 0;
  for (int i : kept) {
    total += p[static_cast<size_t>(i)] = std::exp(static_cast<double>(kLogits[static_cast<size_t>(i)]) / temperature);
  }
  for (double& value : p) { value /= total; }
  return p;
}

TEST(Argmax, TiesGoToTheLowerIndex) {
  EXPECT_EQ(argmax(kLogits.data(), 7), 1);
  const float equal[] = {1.0F, 1.0F, 1.0F};
  EXPECT_EQ(argmax(equal, 3), 0);
}

TEST(Argmax, IgnoresNan) {
  const float some[] = {NAN, 1.0F, NAN, 2.0F, NAN};
  EXPECT_EQ(argmax(some, 5), 3);
  const float lowest[] = {NAN, -INFINITY};
  EXPECT_EQ(argmax(lowest, 2), 1);
  const float none[] = {NAN, NAN};
  EXPECT_EQ(argmax(none, 2), 0);
}

// The bounds are the 99.9th percentiles of the chi-square distribution.
TEST(Sample, FollowsTheSoftmax) {
  EXPECT_LT(chi_square(1.0, 0, 1.0, softmax(1.0, {0, 1, 2, 3, 4, 5, 6})), 22.46);
  EXPECT_LT(chi_square(0.5, 0, 1.0, softmax(0.5, {0, 1, 2, 3, 4, 5, 6})), 22.46);
  EXPECT_LT(chi_square(3.0, 0, 1.0, softmax(3.0, {0, 1, 2, 3, 4, 5, 6})), 22.46);
}

TEST(Sample, TopKKeepsTheMostLikely) {
  EXPECT_LT(chi_square(1.0, 3, 1.0, softmax(1.0, {1, 3, 4})), 13.82);
  EXPECT_EQ(chi_square(1.0, 1, 1.0, softmax(1.0, {1})), 0.0) << "the lower index of two equal logits";
  EXPECT_LT(chi_square(1.0, 100, 1.0, softmax(1.0, {0, 1, 2, 3, 4, 5, 6})), 22.46);
}

TEST(Sample, TopPKeepsTheSmallestSetThatReachesTheMass) {
  // Probabilities are about 0.37, 0.37, 0.14, 0.08, ...
  EXPECT_LT(chi_square(1.0, 0, 0.5, softmax(1.0, {1, 3})), 10.83);
  EXPECT_LT(chi_square(1.0, 0, 0.8, softmax(1.0, {1, 3, 4})), 13.82);
  EXPECT_EQ(chi_square(1.0, 0, 0.01, softmax(1.0, {1})), 0.0);
  EXPECT_LT(chi_square(1.0, 2, 0.9, softmax(1.0, {1, 3})), 10.83) << "mass is counted after top_k";
}

TEST(Sample, StaysInRangeAtTheEnds) {
  EXPECT_EQ(draw(kLogits, 1.0, 0, 1.0, 0.0), 0);
  EXPECT_EQ(draw(kLogits, 1.0, 0, 1.0, std::nextafter(1.0, 0.0)), 6);
  const std::vector<float> one = {3.0F};
  EXPECT_EQ(draw(one, 1.0, 0, 1.0, 0.999), 0);
}

TEST(Sample, SurvivesExtremeLogits) {
  const std::vector<float> logits = {-INFINITY, 1e30F, 0.0F, -1e30F};
  for (double uniform : {0.0, 0.5, 0.999}) { EXPECT_EQ(draw(logits, 1.0, 0, 1.0, uniform), 1); }
}

}  // namespace
}  // namespace vortex::cpu
