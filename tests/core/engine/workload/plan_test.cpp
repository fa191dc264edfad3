#include "core/engine/workload/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/core/engine/workload/fake.h"

namespace vortex::engine {
namespace {

int64_t pages_of(const std::vector<int>& lengths, int block) {
  int64_t pages = 0;
  for (const int length : lengths) { pages += (length + block - 1) / block; }
  return pages;
}

TEST(Plan, DrawsLogNormalLengthsAndCutsThem) {
  const LogNormal answers{1000, 0.6, 1 << 20};
  const std::vector<int> lengths = draw_lengths(answers, 20000, 7);
  const double mean = std::accumulate(lengths.begin(), lengths.end(), 0.0) / 20000;
  EXPECT_NEAR(mean, 1000, 15);  // three standard errors are 14
  double logarithm = 0;
  for (const int length : lengths) { logarithm += std::log(length) / 20000; }
  EXPECT_NEAR(logarithm, std::log(1000) - 0.18, 0.013);
  const std::vector<int> cut = draw_lengths({1000, 0.6, 1200}, 20000, 7);
  EXPECT_EQ(*std::max_element(cut.begin(), cut.end()), 1200);
  EXPECT_EQ(cut[0], std::min(lengths[0], 1200));
  EXPECT_EQ(draw_lengths(answers, 5, 7), std::vector<int>(lengths.begin(), lengths.begin() + 5));
  EXPECT_NE(draw_lengths(answers, 5, 8), std::vector<int>(lengths.begin(), lengths.begin() + 5));
  EXPECT_EQ(draw_lengths({1, 0, 100}, 1, 1)[0], 2) << "an answer decodes at least one token";
}

TEST(Plan, EveryTokenIsDecodedOnceAndStaysAreAsLongAsAnswers) {
  std::vector<RequestLength> requests;
  for (const int answer : draw_lengths({200, 0.8, 900}, 60, 3)) { requests.push_back({40, answer}); }
  requests[5].answer = 1;  // its only token comes with the prompt
  const PlanLimits limits{8, 8, 16, 200};
  const Plan plan = plan_requests(requests, limits);
  ASSERT_EQ(plan.stays.size(), requests.size());
  int64_t tokens = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(plan.stays[i].end - plan.stays[i].first, requests[i].answer - 1);
    EXPECT_LE(plan.stays[i].end, plan.steps);
    tokens += requests[i].answer;
  }
  EXPECT_EQ(plan.tokens, tokens);
  int64_t decoded = 0;
  int64_t steps = 0;
  for (const Round& round : plan.rounds) {
    EXPECT_EQ(round.first_step, steps);
    steps += round.steps;
    decoded += round.tokens;
    EXPECT_LE(round.lengths.size(), 8U);
    EXPECT_LE(pages_of(round.lengths, 16), 200);
  }
  EXPECT_EQ(steps, plan.steps);
  EXPECT_EQ(decoded, plan.decode_tokens());
  EXPECT_LE(plan.most_pages, 200);
  EXPECT_GT(plan.most_pages, 100) << "the pool is used";
}

TEST(Plan, ALargerPoolHoldsMoreRequestsTogether) {
  const std::vector<RequestLength> requests(100, {50, 400});
  const Plan narrow = plan_requests(requests, {64, 8, 16, 200});
  const Plan wide = plan_requests(requests, {64, 8, 16, 4000});
  EXPECT_GT(wide.mean_batch, 4 * narrow.mean_batch);
  EXPECT_LT(wide.steps, narrow.steps / 4);
  EXPECT_EQ(wide.tokens, narrow.tokens);
}

// Two requests of one length on one page each, worked out by hand.
TEST(Plan, IsWhatAPersonWouldWriteDown) {
  const Plan plan = plan_requests({{10, 5}, {10, 3}, {10, 2}}, {2, 1, 16, 100});
  ASSERT_EQ(plan.steps, 4);
  EXPECT_EQ(plan.rounds[0].lengths, (std::vector<int>{10, 10}));
  EXPECT_EQ(plan.rounds[1].lengths, (std::vector<int>{11, 11}));
  EXPECT_EQ(plan.rounds[2].lengths, (std::vector<int>{12, 10}));  // the third joins where the second ended
  EXPECT_EQ(plan.rounds[3].lengths, (std::vector<int>{13}));
  EXPECT_EQ(plan.mean_batch, 7.0 / 4);
}

TEST(Plan, BytesAreThoseOfTheMiddleOfARound) {
  const model::ModelConfig config = vortex::testing::small_config();
  const Plan plan = plan_requests({{100, 9}}, {1, 8, 16, 100});
  const std::vector<double> bytes = bytes_of_rounds(plan, config, nullptr, vflow::Dtype::kBf16);
  ASSERT_EQ(bytes.size(), 1U);
  const std::vector<int> middle = {104};
  EXPECT_EQ(bytes[0], static_cast<double>(step_bytes(config, nullptr, vflow::Dtype::kBf16, middle).total()));
}

}  // namespace
}  // namespace vortex::engine
