#include "kernels/cuda/select.h"

#include <functional>
#include <string>

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

struct Row {
  int length;
  int budget;
};

struct Case {
  std::vector<Row> requests;
  int heads = 2;
  int block = 16;
  int bos = 1;
  int eos = 2;
  int max_selected = 128;
};

int num_blocks(const Case& c, const Row& r) { return (r.length + c.block - 1) / c.block; }

// The contract of SelectionRule, by sorting. score(i) is read only for competing blocks.
std::vector<std::int32_t> oracle(const Case& c, const Row& r, const std::function<double(int)>& score) {
  const int n = num_blocks(c, r);
  const int sel = std::min(std::min(std::max(r.budget, c.bos + c.eos), c.max_selected), n);
  std::vector<std::int32_t> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  if (n <= sel) { return all; }
  const auto better = [&](int a, int b) {
    return std::isnan(score(a)) ? false : std::isnan(score(b)) || score(a) > score(b);
  };
  std::vector<std::int32_t> middle(all.begin() + c.bos, all.end() - c.eos);
  std::stable_sort(middle.begin(), middle.end(), better);
  middle.resize(static_cast<std::size_t>(sel - c.bos - c.eos));
  middle.insert(middle.end(), all.begin(), all.begin() + c.bos);
  middle.insert(middle.end(), all.end() - c.eos, all.end());
  std::sort(middle.begin(), middle.end());
  return middle;
}

class Selector {
 public:
  explicit Selector(const Case& c) : c_(c) {
    std::vector<std::int32_t> lengths, budgets;
    for (const Row& r : c.requests) {
      lengths.push_back(r.length);
      budgets.push_back(r.budget);
      max_blocks_ = std::max(max_blocks_, num_blocks(c, r) + 2);
    }
    lengths_ = DeviceArray<std::int32_t>(lengths);
    budgets_ = DeviceArray<std::int32_t>(budgets);
    rows_ = c.requests.size() * static_cast<std::size_t>(c.heads);
    blocks_ = DeviceArray<std::int32_t>(rows_ * static_cast<std::size_t>(c.max_selected));
    counts_ = DeviceArray<std::int32_t>(rows_);
  }

  std::size_t rows() const { return rows_; }
  int max_blocks() const { return max_blocks_; }
  const Row& request(std::size_t row) const { return c_.requests[row / static_cast<std::size_t>(c_.heads)]; }
  SelectionRule rule() const {
    return {lengths_.data(), budgets_.data(), static_cast<int>(c_.requests.size()), c_.heads, c_.block, c_.bos, c_.eos};
  }
  SelectionOutput output() {
    blocks_.poison();
    counts_.poison();
    return {blocks_.data(), counts_.data(), c_.max_selected};
  }
  std::vector<std::vector<std::int32_t>> read() const {
    finish();
    const std::vector<std::int32_t> blocks = blocks_.read();
    const std::vector<std::int32_t> counts = counts_.read();
    std::vector<std::vector<std::int32_t>> result;
    for (std::size_t row = 0; row < rows_; ++row) {
      const auto from = blocks.begin() + static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(c_.max_selected));
      if (counts[row] < 0 || counts[row] > c_.max_selected) {
        ADD_FAILURE() << "row " << row << " has count " << counts[row];
        result.emplace_back();
      } else {
        result.emplace_back(from, from + counts[row]);
      }
    }
    return result;
  }

 private:
  Case c_;
  int max_blocks_ = 1;
  std::size_t rows_ = 0;
  DeviceArray<std::int32_t> lengths_, budgets_, blocks_, counts_;
};

template <class Score>
double as_double(Score x) {
  if constexpr (sizeof(Score) == 2) { return value(x); }
  return static_cast<double>(x);
}

template <class Score>
void expect_exact(const Case& c, const std::function<Score(int)>& make) {
  Selector selector(c);
  const auto stride = static_cast<std::size_t>(selector.max_blocks());
  std::vector<Score> scores(selector.rows() * stride);
  for (std::size_t row = 0; row < selector.rows(); ++row) {
    const int n = num_blocks(c, selector.request(row));
    for (int i = 0; i < static_cast<int>(stride); ++i) {
      const bool competes = i >= c.bos && i < n - c.eos;
      scores[row * stride + static_cast<std::size_t>(i)] = competes ? make(i) : Score(1e30F);  // must not be chosen
    }
  }
  const DeviceArray<Score> device(scores);
  SelectBlocks a;
  a.scores = device.data();
  a.type = sizeof(Score) == 2 ? ScoreType::bf16 : ScoreType::fp32;
  a.max_blocks = selector.max_blocks();
  ASSERT_EQ(select_blocks(a, selector.rule(), selector.output(), nullptr), cudaSuccess);
  const auto selected = selector.read();
  for (std::size_t row = 0; row < selector.rows(); ++row) {
    const Score* s = &scores[row * stride];
    ASSERT_EQ(selected[row], oracle(c, selector.request(row), [&](int i) { return as_double(s[i]); })) << "row " << row;
  }
}

const std::vector<Row> kMixed = {{0, 30},     {1, 30},      {16, 30},    {480, 30},   {481, 30},  {497, 30},
                                 {16384, 64}, {16383, 33},  {16370, 4},  {8000, 3},   {8000, 0},  {8000, 1000},
                                 {8000, -7},  {12345, 128}, {2047, 127}, {2048, 127}, {2049, 127}};

using SelectTest = DeviceTest;

TEST_F(SelectTest, ExactOnRandomScores) {
  Random random(1);
  Case c;
  c.requests = kMixed;
  expect_exact<Bf16>(c, [&](int) { return __float2bfloat16(normal(random)); });
  expect_exact<float>(c, [&](int) { return normal(random); });
  c.block = 32;
  c.bos = 0;
  c.eos = 1;
  expect_exact<Bf16>(c, [&](int) { return __float2bfloat16(normal(random, 1e-3F)); });
}

TEST_F(SelectTest, ExactOnAdversarialScores) {
  Random random(2);
  Case c;
  c.requests = kMixed;
  expect_exact<Bf16>(c, [](int) { return __float2bfloat16(0.0F); });
  expect_exact<float>(c, [](int) { return -1e30F; });
  expect_exact<float>(c, [](int i) { return i % 2 == 0 ? 0.0F : -0.0F; });
  expect_exact<float>(c, [](int i) { return static_cast<float>(i); });
  expect_exact<float>(c, [](int i) { return -static_cast<float>(i); });
  expect_exact<Bf16>(c, [&](int) { return __float2bfloat16(std::round(normal(random))); });  // many ties
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> extremes = {inf, -inf, std::nanf(""), 3.4e38F, -3.4e38F, 1e-45F, -1e-45F, 0.0F};
  const auto extreme = [&](int) { return extremes[random() % extremes.size()]; };
  expect_exact<float>(c, extreme);
  expect_exact<Bf16>(c, [&](int i) { return __float2bfloat16(extreme(i)); });
  expect_exact<float>(c, [](int i) { return 1.0F + static_cast<float>(i % 977) * 1.1920929e-7F; });  // last bits
}

TEST_F(SelectTest, ExactOnLongRows) {
  Random random(3);
  Case c;
  c.heads = 1;
  for (const int blocks : {1500, 3000, 9000, 32700}) {
    c.requests = {{blocks * c.block - 3, 100}, {100 * c.block, 99}, {77, 100}};
    SCOPED_TRACE(blocks);
    expect_exact<Bf16>(c, [&](int) { return __float2bfloat16(normal(random)); });
    expect_exact<float>(c, [&](int) { return normal(random); });
  }
}

TEST_F(SelectTest, ToleranceKeepsItsRecallAndRepeats) {
  Random random(4);
  Case c;
  c.requests = std::vector<Row>(40, Row{16384, 63});
  Selector selector(c);
  const auto stride = static_cast<std::size_t>(selector.max_blocks());
  std::vector<Bf16> scores(selector.rows() * stride);
  for (Bf16& s : scores) { s = __float2bfloat16(std::exp(normal(random))); }
  const DeviceArray<Bf16> device(scores);
  SelectBlocks a{device.data(), ScoreType::bf16, selector.max_blocks(), 0.0F};
  for (const float tolerance : {0.05F, 0.3F, 1.0F}) {
    a.tolerance = tolerance;
    ASSERT_EQ(select_blocks(a, selector.rule(), selector.output(), nullptr), cudaSuccess);
    const auto selected = selector.read();
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(select_blocks(a, selector.rule(), selector.output(), nullptr), cudaSuccess);
      ASSERT_EQ(selector.read(), selected);
    }
    for (std::size_t row = 0; row < selector.rows(); ++row) {
      const Bf16* s = &scores[row * stride];
      const auto exact = oracle(c, selector.request(row), [&](int i) { return value(s[i]); });
      ASSERT_EQ(selected[row].size(), exact.size());
      ASSERT_TRUE(std::is_sorted(selected[row].begin(), selected[row].end()));
      ASSERT_EQ(std::adjacent_find(selected[row].begin(), selected[row].end()), selected[row].end());
      std::vector<std::int32_t> common;
      std::set_intersection(exact.begin(), exact.end(), selected[row].begin(), selected[row].end(),
                            std::back_inserter(common));
      const int middle_hits = static_cast<int>(common.size()) - c.bos - c.eos;
      ASSERT_GE(middle_hits, static_cast<int>(std::ceil((1.0 - static_cast<double>(tolerance)) * 60 - 1e-4)));
    }
  }
}

TEST_F(SelectTest, RefusesBadArguments) {
  Case c;
  c.requests = {{100, 5}};
  Selector selector(c);
  SelectBlocks a;
  EXPECT_EQ(select_blocks(a, selector.rule(), selector.output(), nullptr), cudaErrorInvalidValue);
  const DeviceArray<float> scores(1000);
  a = {scores.data(), ScoreType::fp32, 8, 0.5F};
  EXPECT_EQ(select_blocks(a, selector.rule(), selector.output(), nullptr), cudaErrorNotSupported);
  a.tolerance = 0.0F;
  a.max_blocks = kMaxSelectableBlocks + 1;
  EXPECT_EQ(select_blocks(a, selector.rule(), selector.output(), nullptr), cudaErrorInvalidValue);
  a.max_blocks = 8;
  SelectionRule rule = selector.rule();
  rule.reserved_eos = 0;
  EXPECT_EQ(select_blocks(a, rule, selector.output(), nullptr), cudaErrorInvalidValue);
}

// The device's scores differ from float64 by rounding, so a block may only swap with one of nearly the same score.
void expect_block_topk(int dim, int group, const std::vector<Row>& requests, bool round_bf16 = false) {
  Random random(5);
  Case c;
  c.requests = requests;
  Selector selector(c);
  std::vector<std::int32_t> lengths;
  for (const Row& r : requests) { lengths.push_back(r.length); }
  const HostTable table(lengths, c.block, random, selector.max_blocks());
  const auto row_dim = static_cast<std::size_t>(dim);
  std::vector<Bf16> centroids(static_cast<std::size_t>(table.num_pages * c.heads) * row_dim,
                              __ushort_as_bfloat16(0x7fc0));
  for (std::size_t b = 0; b < requests.size(); ++b) {
    for (int i = c.bos; i < num_blocks(c, requests[b]) - c.eos; ++i) {  // the rest stays NaN: it must not be read
      const auto at = static_cast<std::size_t>(table.slot(b, i) * c.heads) * row_dim;
      for (std::size_t d = 0; d < static_cast<std::size_t>(c.heads) * row_dim; ++d) {
        centroids[at + d] = __float2bfloat16(normal(random));
      }
    }
  }
  const std::vector<Bf16> q = random_bf16(selector.rows() * static_cast<std::size_t>(group) * row_dim, random);
  const DeviceArray<Bf16> device_q(q), device_centroids(centroids);
  const DeviceArray<std::int32_t> pages(table.pages);
  ScoreAndSelect a{
      device_q.data(), device_centroids.data(), pages.data(), table.max_blocks, group * c.heads, dim, false};
  ASSERT_EQ(score_and_select(a, selector.rule(), selector.output(), nullptr), cudaSuccess);
  const auto selected = selector.read();
  for (std::size_t row = 0; row < selector.rows(); ++row) {
    const std::size_t b = row / static_cast<std::size_t>(c.heads);
    const std::size_t h = row % static_cast<std::size_t>(c.heads);
    const auto score = [&](int block) {
      double sum = 0.0;
      const auto at = (static_cast<std::size_t>(table.slot(b, block) * c.heads) + h) * row_dim;
      for (std::size_t g = 0; g < static_cast<std::size_t>(group); ++g) {
        for (std::size_t d = 0; d < row_dim; ++d) {
          sum += value(q[(row * static_cast<std::size_t>(group) + g) * row_dim + d]) * value(centroids[at + d]);
        }
      }
      return sum / group;
    };
    const auto exact = oracle(c, selector.request(row), score);
    ASSERT_EQ(selected[row].size(), exact.size()) << "row " << row;
    std::vector<std::int32_t> missed, extra;
    std::set_difference(exact.begin(), exact.end(), selected[row].begin(), selected[row].end(),
                        std::back_inserter(missed));
    std::set_difference(selected[row].begin(), selected[row].end(), exact.begin(), exact.end(),
                        std::back_inserter(extra));
    ASSERT_LE(missed.size(), round_bf16 ? 8U : 2U) << "row " << row;
    for (std::size_t i = 0; i < missed.size(); ++i) {
      const double rounding = round_bf16 ? std::abs(score(extra[i])) / 128 : 1e-3;
      ASSERT_NEAR(score(missed[i]), score(extra[i]), rounding);
    }
  }
}

TEST_F(SelectTest, FusedBlockTopKAgreesWithFloat64) {
  const std::vector<Row> requests = {{16384, 64}, {3000, 40}, {0, 5}, {100, 40}, {9999, 3}, {9999, 4}};
  for (const int dim : {64, 128}) {
    for (const int group : kGroups) { expect_block_topk(dim, group, requests); }
  }
  expect_block_topk(128, 2, requests, true);
  expect_block_topk(128, 2, {{60000, 100}, {31, 100}});
  expect_block_topk(128, 2, {{150000, 100}});
}

}  // namespace
}  // namespace vortex::cuda
