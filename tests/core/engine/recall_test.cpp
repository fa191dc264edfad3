#include "core/engine/recall.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/bf16.h"

namespace vortex::engine {
namespace {

// One request, two kv heads, two query heads each, pages of two tokens, head_dim 1; physical pages reversed. Keys are
// logarithms of small integers, so the softmax weights of a query of 1 are those integers (a bf16 holds few digits).
class RecallTest : public ::testing::Test {
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
    view_ = {1, 1, q_, &cache_, table_, 3, &length_, &selection_, 2};
  }

  std::vector<AttentionRecall> look(const ReservedPages& reserved, double scale = 1.0) {
    std::vector<AttentionRecall> sums(2);
    AttentionRecall* const of_request[] = {sums.data()};
    add_look(view_, reserved, scale, of_request);
    return sums;
  }

  const float q_[4] = {1, 0, 1, 0};  // the second query head of each pair attends evenly
  const int32_t table_[3] = {2, 1, 0};
  const int32_t length_ = 5;
  std::vector<cpu::Bf16> keys_;
  compile::LayerCache cache_;
  compile::Selection selection_;
  AttentionView view_{};
};

TEST_F(RecallTest, AddsTheWeightsOfTheAttendedPages) {
  selection_ = {2, {1, 2, 0, 2}, {2, 2}};  // head 0: pages 1 and 2; head 1: pages 0 and 2
  const std::vector<AttentionRecall> sums = look({0, 0});
  EXPECT_NEAR(sums[0].mass, (13.0 / 16 + 3.0 / 5) / 2, 0.002);
  EXPECT_NEAR(sums[1].mass, (10.0 / 16 + 3.0 / 5) / 2, 0.002);
  EXPECT_DOUBLE_EQ(sums[0].mass_chosen, sums[0].mass) << "no page is reserved";
  EXPECT_EQ(sums[0].looks, 1);
}

// Head 0: pages weigh 3, 12, 1 of 16 and 2, 2, 1 of 5, so the two best are 1 and 0. Head 1: 6, 6, 4 and 2, 2, 1.
TEST_F(RecallTest, FindsTheBestPages) {
  selection_ = {2, {1, 2, 0, 2}, {2, 2}};
  const std::vector<AttentionRecall> sums = look({0, 0});
  EXPECT_DOUBLE_EQ(sums[0].index, 0.5);
  EXPECT_DOUBLE_EQ(sums[1].index, 0.5);
}

TEST_F(RecallTest, LeavesReservedPagesOut) {
  selection_ = {2, {1, 2, 0, 2}, {2, 2}};
  const std::vector<AttentionRecall> sums = look({0, 1});  // page 2 is reserved, 0 and 1 compete
  EXPECT_NEAR(sums[0].mass_chosen, (12.0 / 15 + 2.0 / 4) / 2, 0.002);
  EXPECT_NEAR(sums[1].mass_chosen, (6.0 / 12 + 2.0 / 4) / 2, 0.002);
  EXPECT_DOUBLE_EQ(sums[0].index_chosen, 1.0) << "page 1 is the best of them";
  EXPECT_DOUBLE_EQ(sums[1].index_chosen, 1.0) << "pages 0 and 1 weigh the same";
  selection_ = {2, {0, 2, 0, 2}, {2, 2}};
  EXPECT_DOUBLE_EQ(look({0, 1})[0].index_chosen, 0.0);
}

TEST_F(RecallTest, NothingToChooseIsNothingMissed) {
  selection_ = {2, {0, 2, 0, 2}, {2, 2}};
  const std::vector<AttentionRecall> sums = look({2, 1});
  EXPECT_DOUBLE_EQ(sums[0].mass_chosen, 1.0);
  EXPECT_DOUBLE_EQ(sums[0].index_chosen, 1.0);
  EXPECT_LT(sums[0].mass, 1.0);
}

TEST_F(RecallTest, ScaleMultipliesScores) {
  selection_ = {2, {1, 2, 0, 2}, {2, 2}};
  EXPECT_NEAR(look({0, 0}, 0.0)[0].mass, 3.0 / 5, 1e-6) << "all even: three of five tokens";
}

TEST_F(RecallTest, EverythingIsOne) {
  selection_ = {3, {0, 1, 2, 0, 1, 2}, {3, 3}};
  for (const AttentionRecall& sum : look({1, 1})) {
    EXPECT_DOUBLE_EQ(sum.mass, 1.0);
    EXPECT_DOUBLE_EQ(sum.mass_chosen, 1.0);
    EXPECT_DOUBLE_EQ(sum.index, 1.0);
    EXPECT_DOUBLE_EQ(sum.index_chosen, 1.0);
  }
}

TEST_F(RecallTest, MeansAreOverLooks) {
  selection_ = {2, {1, 2, 0, 2}, {2, 2}};
  std::vector<AttentionRecall> sums(2);
  AttentionRecall* const of_request[] = {sums.data()};
  add_look(view_, {0, 0}, 1.0, of_request);
  const double mass = sums[0].mass;
  add_look(view_, {0, 0}, 1.0, of_request);
  finish_looks(sums);
  EXPECT_DOUBLE_EQ(sums[0].mass, mass);
  EXPECT_EQ(sums[0].looks, 2);
}

}  // namespace
}  // namespace vortex::engine
