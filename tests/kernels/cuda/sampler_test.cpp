#include "kernels/cuda/sampler.h"

#include <set>

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

struct Row {
  float temperature = 1.0F;
  int top_k = 0;
  float top_p = 1.0F;
  std::uint64_t seed = 1;
  std::uint64_t request_id = 0;
  std::int32_t position = 0;
  std::uint8_t active = 1;
};

// Samples one token per row; `logits` is [row][vocab], or one row shared by all.
std::vector<std::int32_t> draw(const std::vector<float>& logits, int vocab, const std::vector<Row>& rows,
                               LogitType type) {
  const std::size_t stride = (static_cast<std::size_t>(vocab) + 7) / 8 * 8;
  const bool shared = logits.size() == static_cast<std::size_t>(vocab);
  std::vector<float> padded(rows.size() * stride, 1e30F);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto from = logits.begin() + (shared ? 0 : static_cast<std::ptrdiff_t>(r) * vocab);
    std::copy(from, from + vocab, padded.begin() + static_cast<std::ptrdiff_t>(r * stride));
  }
  std::vector<Bf16> narrow;
  for (const float x : padded) { narrow.push_back(__float2bfloat16(x)); }
  std::vector<float> temperatures, top_p;
  std::vector<std::int32_t> top_k, positions;
  std::vector<std::uint64_t> seeds, ids;
  std::vector<std::uint8_t> active;
  for (const Row& r : rows) {
    temperatures.push_back(r.temperature);
    top_p.push_back(r.top_p);
    top_k.push_back(r.top_k);
    positions.push_back(r.position);
    seeds.push_back(r.seed);
    ids.push_back(r.request_id);
    active.push_back(r.active);
  }
  const DeviceArray<float> device_wide(padded), device_temperatures(temperatures), device_top_p(top_p);
  const DeviceArray<Bf16> device_narrow(narrow);
  const DeviceArray<std::int32_t> device_top_k(top_k), device_positions(positions);
  const DeviceArray<std::uint64_t> device_seeds(seeds), device_ids(ids);
  const DeviceArray<std::uint8_t> device_active(active);
  DeviceArray<std::int32_t> tokens(rows.size());
  tokens.poison();
  Sample a;
  a.logits = type == LogitType::bf16 ? static_cast<const void*>(device_narrow.data()) : device_wide.data();
  a.type = type;
  a.num_rows = static_cast<int>(rows.size());
  a.vocab = vocab;
  a.stride = static_cast<int>(stride);
  a.temperatures = device_temperatures.data();
  a.top_k = device_top_k.data();
  a.top_p = device_top_p.data();
  a.seeds = device_seeds.data();
  a.request_ids = device_ids.data();
  a.positions = device_positions.data();
  a.active = device_active.data();
  a.tokens = tokens.data();
  EXPECT_EQ(sample(a, nullptr), cudaSuccess);
  finish();
  return tokens.read();
}

// The probabilities of the header's definition, in float64.
std::vector<double> probabilities(const std::vector<float>& logits, const Row& row) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  std::size_t kept = order.size();
  const auto extend_over_ties = [&](std::size_t count) {
    while (count < order.size() && logits[order[count]] == logits[order[count - 1]]) { ++count; }
    return count;
  };
  if (row.top_k > 0 && row.top_k < static_cast<int>(kept)) {
    kept = extend_over_ties(static_cast<std::size_t>(row.top_k));
  }
  std::vector<double> weights(logits.size(), 0.0);
  double total = 0.0;
  for (std::size_t i = 0; i < kept; ++i) {
    weights[order[i]] = std::exp((static_cast<double>(logits[order[i]]) - static_cast<double>(logits[order[0]])) /
                                 static_cast<double>(row.temperature));
    total += weights[order[i]];
  }
  if (row.top_p < 1.0F) {
    double sum = 0.0;
    std::size_t count = 0;
    while (count < kept && sum < static_cast<double>(row.top_p) * total) { sum += weights[order[count++]]; }
    count = std::min(kept, extend_over_ties(count));
    for (std::size_t i = count; i < kept; ++i) { weights[order[i]] = 0.0; }
    total = std::accumulate(weights.begin(), weights.end(), 0.0);
  }
  for (double& w : weights) { w /= total; }
  return weights;
}

std::vector<Row> repeat(const Row& row, int count) {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back(row);
    rows.back().position = i;
  }
  return rows;
}

// Chi-square of many draws against the probabilities, tokens expected fewer than 5 times pooled.
void expect_distribution(const std::vector<float>& logits, const Row& row, LogitType type) {
  constexpr int kDraws = 20000;
  const std::vector<double> p = probabilities(logits, row);
  const std::vector<std::int32_t> tokens = draw(logits, static_cast<int>(logits.size()), repeat(row, kDraws), type);
  std::vector<int> counts(p.size(), 0);
  for (const std::int32_t t : tokens) {
    ASSERT_GE(t, 0);
    ASSERT_LT(t, static_cast<std::int32_t>(p.size()));
    ++counts[static_cast<std::size_t>(t)];
  }
  double chi = 0.0, pooled_expected = 0.0, pooled_count = 0.0;
  int cells = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * kDraws;
    if (p[i] == 0.0) {
      ASSERT_EQ(counts[i], 0) << "token " << i << " is excluded";
    } else if (expected < 5.0) {
      pooled_expected += expected;
      pooled_count += counts[i];
    } else {
      chi += (counts[i] - expected) * (counts[i] - expected) / expected;
      ++cells;
    }
  }
  if (pooled_expected >= 5.0) {
    chi += (pooled_count - pooled_expected) * (pooled_count - pooled_expected) / pooled_expected;
    ++cells;
  }
  const double freedom = std::max(1, cells - 1);
  EXPECT_LT(chi, freedom + 5.0 * std::sqrt(2.0 * freedom) + 5.0);
}

// Random logits that bf16 holds exactly, so that both types see the same row.
std::vector<float> random_logits(int vocab, float scale, Random& random) {
  std::vector<float> logits(static_cast<std::size_t>(vocab));
  for (float& x : logits) { x = __bfloat162float(__float2bfloat16(normal(random, scale))); }
  return logits;
}

using SamplerTest = DeviceTest;

TEST_F(SamplerTest, DrawsFromTheRightDistribution) {
  Random random(1);
  for (const LogitType type : {LogitType::bf16, LogitType::fp32}) {
    for (const int vocab : {1, 7, 100, 5001}) {
      const std::vector<float> logits = random_logits(vocab, 2.0F, random);
      for (const Row& row : {Row{1.0F}, Row{0.6F}, Row{1.5F, 20}, Row{0.6F, 20, 0.95F}, Row{1.0F, 0, 0.9F},
                             Row{2.0F, 0, 0.999F}, Row{1.0F, 3, 0.01F}, Row{1.0F, 4999, 1.0F}, Row{1.0F, 1000, 0.8F}}) {
        SCOPED_TRACE(testing::Message() << "vocab " << vocab << " temperature " << row.temperature << " top_k "
                                        << row.top_k << " top_p " << row.top_p);
        expect_distribution(logits, row, type);
      }
    }
  }
}

TEST_F(SamplerTest, KeepsAllTiesOfTheLastOne) {
  const std::vector<float> logits = {1.0F, 3.0F, 2.0F, 2.0F, 2.0F, 0.0F, -0.0F, 3.0F};
  expect_distribution(logits, {1.0F, 3}, LogitType::fp32);                          // 3, 3 and three times 2
  expect_distribution(logits, {1.0F, 0, 0.75F}, LogitType::fp32);                   // the same by probability
  expect_distribution(std::vector<float>(9000, 0.5F), {1.0F, 5}, LogitType::fp32);  // more ties than fit a list
}

TEST_F(SamplerTest, TopKOfFewerNumbersThanKKeepsThemAll) {
  std::vector<float> logits(300, std::nanf(""));
  logits[5] = logits[250] = 1.0F;
  const std::vector<std::int32_t> tokens = draw(logits, 300, repeat({1.0F, 10}, 200), LogitType::fp32);
  const std::set<std::int32_t> seen(tokens.begin(), tokens.end());
  EXPECT_EQ(seen, (std::set<std::int32_t>{5, 250}));
}

TEST_F(SamplerTest, GreedyTakesTheLowestOfTheLargest) {
  Random random(2);
  const int vocab = 151936;
  std::vector<float> logits;
  std::vector<std::int32_t> expected;
  for (int r = 0; r < 6; ++r) {
    std::vector<float> row = random_logits(vocab, 3.0F, random);
    if (r == 1) { std::fill(row.begin(), row.end(), -1e30F); }
    if (r == 2) { row[77] = row[150000] = 100.0F; }
    if (r == 3) { std::fill(row.begin(), row.end(), std::nanf("")), row[1234] = -5.0F; }
    if (r == 4) { row[151935] = std::numeric_limits<float>::infinity(); }
    std::int32_t best = r == 3 ? 1234 : 0;
    for (std::int32_t i = 0; i < vocab; ++i) {
      if (row[static_cast<std::size_t>(i)] > row[static_cast<std::size_t>(best)]) { best = i; }
    }
    expected.push_back(best);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  for (const LogitType type : {LogitType::bf16, LogitType::fp32}) {
    EXPECT_EQ(draw(logits, vocab, std::vector<Row>(6, Row{0.0F}), type), expected);
  }
}

TEST_F(SamplerTest, LargeVocabularyTruncationNeverLeavesTheSet) {
  Random random(3);
  const int vocab = 151936;
  const std::vector<float> logits = random_logits(vocab, 2.5F, random);
  for (const Row& row : {Row{0.6F, 20, 0.95F}, Row{1.0F, 0, 0.95F}, Row{1.0F, 100}, Row{1.0F, 0, 0.3F}}) {
    const std::vector<double> p = probabilities(logits, row);
    for (const LogitType type : {LogitType::bf16, LogitType::fp32}) {
      for (const std::int32_t token : draw(logits, vocab, repeat(row, 64), type)) {
        ASSERT_GT(p[static_cast<std::size_t>(token)], 0.0) << "top_k " << row.top_k << " top_p " << row.top_p;
      }
    }
  }
}

TEST_F(SamplerTest, DependsOnSeedRequestAndPositionOnly) {
  Random random(4);
  const int vocab = 3000;
  const std::vector<float> logits = random_logits(vocab, 0.1F, random);
  for (const Row& kind : {Row{1.0F}, Row{1.0F, 500, 0.99F}}) {
    std::vector<Row> rows;
    for (const std::uint64_t seed : {1U, 2U}) {
      for (const std::uint64_t id : {7U, 8U}) {
        for (const std::int32_t position : {0, 1}) {
          rows.push_back({1.0F, kind.top_k, kind.top_p, seed, id, position});
        }
      }
    }
    const std::vector<std::int32_t> together = draw(logits, vocab, rows, LogitType::fp32);
    EXPECT_GT((std::set<std::int32_t>(together.begin(), together.end()).size()), 5U);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(draw(logits, vocab, {rows[i]}, LogitType::fp32)[0], together[i]);
    }
  }
}

TEST_F(SamplerTest, InactiveRowsKeepTheirToken) {
  std::vector<Row> rows = repeat({0.0F}, 3);
  rows[1].active = 0;
  EXPECT_EQ(draw({1.0F, 2.0F, 0.0F}, 3, rows, LogitType::bf16), (std::vector<std::int32_t>{1, -1, 1}));  // -1: poison
}

TEST_F(SamplerTest, RefusesBadArguments) { EXPECT_EQ(sample({}, nullptr), cudaErrorInvalidValue); }

}  // namespace
}  // namespace vortex::cuda
