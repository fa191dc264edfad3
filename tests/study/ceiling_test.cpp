#include <gtest/gtest.h>

#include "study/front.h"

namespace vortex::study {
namespace {

const evals::Interval kDense{0.9, 0.8, 0.95};

bool says(const evals::Interval& accuracy, const evals::Interval& ceiling, const std::string& what) {
  return ceiling_sentence(accuracy, kDense, ceiling).find(what) != std::string::npos;
}

TEST(CeilingSentence, TellsBudgetFromScore) {
  EXPECT_TRUE(says({0.6, 0.4, 0.8}, {0.9, 0.8, 0.95}, "a better score"));
  EXPECT_TRUE(says({0.6, 0.4, 0.8}, {0.7, 0.5, 0.8}, "more pages"));
  EXPECT_TRUE(says({0.88, 0.8, 0.95}, {0.9, 0.8, 0.95}, "fewer pages"));
  EXPECT_EQ(ceiling_sentence({0.6, 0.4, 0.8}, kDense, std::nullopt), "");
}

}  // namespace
}  // namespace vortex::study
