#include "evals/ladder/selected_mass.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evals/ladder/memory_read.h"
#include "kernels/cpu/bf16.h"

namespace vortex::evals {
namespace {

// One request, two kv heads, two query heads each, pages of two tokens, head_dim 1; physical pages reversed. Keys are
// logarithms of small integers, so the softmax weights of a query of 1 are those integers (a bf16 holds few digits).
class SelectedMassTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const double weights[2][5] = {{1, 2, 4, 8, 1}, {3, 3, 3, 3, 4}};  // [kv head][token]; five tokens, three pages
    keys_.assign(3 * 2 * 2, cpu::float_to_bf16(50));                  // the free slot must not be read
    for (int head = 0; head < 2; ++head) {
      for (int token = 0; token < 5; ++token) {
        const int page = table_[token / 2];
        keys_[static_cast<size_t>((page * 2 + head) * 2 + token % 2)] =
            cpu::float_to_bf16(static_cast<float>(std::log(weights[head][token])));
      }
    }
    cache_.k = {keys_.data(), vflow::Dtype::kBf16, 2, 2, 1};
    view_ = {1, 1, q_, &cache_, table_, 3, &length_, &selection_};
  }

  const float q_[4] = {1, 0, 1, 0};  // the second query head of each pair attends evenly
  const int32_t table_[3] = {2, 1, 0};
  const int32_t length_ = 5;
  std::vector<cpu::Bf16> keys_;
  compile::LayerCache cache_;
  compile::Selection selection_;
  engine::AttentionView view_{};
};

TEST_F(SelectedMassTest, AddsTheWeightsOfTheChosenPages) {
  selection_ = {2, {1, 2, 0, 2}, {2, 2}};  // head 0: pages 1 and 2; head 1: pages 0 and 2
  const double expected = (13.0 / 16 + 3.0 / 5 + 10.0 / 16 + 3.0 / 5) / 4;
  EXPECT_NEAR(selected_mass(view_, 2, 1.0), expected, 0.002);
}

TEST_F(SelectedMassTest, ScaleMultipliesScores) {
  selection_ = {2, {1, 2, 0, 2}, {2, 2}};
  EXPECT_NEAR(selected_mass(view_, 2, 0.0), 3.0 / 5, 1e-6) << "all even: three of five tokens";
}

TEST_F(SelectedMassTest, EverythingIsOne) {
  selection_ = {3, {0, 1, 2, 0, 1, 2}, {3, 3}};
  EXPECT_DOUBLE_EQ(selected_mass(view_, 2, 1.0), 1.0);
  view_.selection = nullptr;
  EXPECT_DOUBLE_EQ(selected_mass(view_, 2, 1.0), 1.0);
}

TEST(MemoryRead, GivesSomething) { EXPECT_GT(memory_read_bandwidth(1, 0.0), 1e6); }

}  // namespace
}  // namespace vortex::evals
