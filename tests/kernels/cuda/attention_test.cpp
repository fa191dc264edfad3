#include "kernels/cuda/attention.h"

#include <cstring>
#include <tuple>

#include "kernels/cuda/attention_spread.h"
#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

struct Case {
  KvType type = KvType::bf16;
  int group = 2;
  int dim = 128;
  int block = 16;
  int heads = 2;
  std::vector<std::int32_t> lengths = {1, 16, 17, 0, 333, 1024, 31};
  DecodeSchedule schedule;
  float k_scale = 1.0F;
  float v_scale = 1.0F;
};

// A problem on the host and the device.
class Problem {
 public:
  Problem(const Case& c, Random& random)
      : c_(c),
        table_(c.lengths, c.block, random),
        pool_(c.type, table_.num_pages, c.heads, c.block, c.dim),
        q_(random_bf16(c.lengths.size() * static_cast<std::size_t>(c.heads * c.group * c.dim), random)) {
    fill_tokens(pool_, table_, random);
    k_ = DeviceArray<std::uint8_t>(pool_.bytes(pool_.k));
    v_ = DeviceArray<std::uint8_t>(pool_.bytes(pool_.v));
    pages_ = DeviceArray<std::int32_t>(table_.pages);
    lengths_ = DeviceArray<std::int32_t>(table_.lengths);
    device_q_ = DeviceArray<Bf16>(q_);
    out_ = DeviceArray<Bf16>(q_.size());
    lse_ = DeviceArray<float>(q_.size() / static_cast<std::size_t>(c.dim));
  }

  // Random ascending selections of about `share` of the blocks, always with the last; unused slots are garbage.
  void select(double share, Random& random) {
    max_selected_ = table_.max_blocks;
    const std::size_t rows = c_.lengths.size() * static_cast<std::size_t>(c_.heads);
    selected_.assign(rows * static_cast<std::size_t>(max_selected_), kGarbage);
    counts_.assign(rows, 0);
    for (std::size_t row = 0; row < rows; ++row) {
      const int blocks = num_blocks(row / static_cast<std::size_t>(c_.heads));
      for (int i = 0; i < blocks; ++i) {
        if (i + 1 < blocks && std::uniform_real_distribution<double>()(random) >= share) { continue; }
        selected_[row * static_cast<std::size_t>(max_selected_) + static_cast<std::size_t>(counts_[row]++)] = i;
      }
    }
    device_selected_ = DeviceArray<std::int32_t>(selected_);
    device_counts_ = DeviceArray<std::int32_t>(counts_);
  }

  // The output of the first `requests` requests; of all by default.
  std::vector<Bf16> run(std::size_t requests = std::numeric_limits<std::size_t>::max()) {
    requests = std::min(requests, c_.lengths.size());
    out_.poison();
    lse_.poison();
    EXPECT_EQ(decode_attention(args(requests), c_.schedule, nullptr), cudaSuccess);
    finish();
    std::vector<Bf16> out = out_.read();
    out.resize(requests * static_cast<std::size_t>(c_.heads * c_.group * c_.dim));
    return out;
  }

  std::vector<Bf16> run_as(const DecodeSchedule& schedule,
                           std::size_t requests = std::numeric_limits<std::size_t>::max()) {
    c_.schedule = schedule;
    return run(requests);
  }

  // The output with the first `group` query heads of one request alone.
  std::vector<Bf16> run_group(int group) {
    DecodeAttention a = args(1);
    a.num_q_heads = group * c_.heads;
    out_.poison();
    EXPECT_EQ(decode_attention(a, c_.schedule, nullptr), cudaSuccess);
    finish();
    std::vector<Bf16> out = out_.read();
    out.resize(static_cast<std::size_t>(c_.heads * group * c_.dim));
    return out;
  }

  // The output by any function of the arguments, of all requests.
  template <class Attend>
  std::vector<Bf16> run_with(const Attend& attend) {
    out_.poison();
    lse_.poison();
    EXPECT_EQ(attend(args(c_.lengths.size())), cudaSuccess);
    finish();
    return out_.read();
  }

  DecodeAttention args(std::size_t requests) const {
    DecodeAttention a;
    a.q = device_q_.data();
    a.out = out_.data();
    a.lse = lse_.data();
    a.kv = {k_.data(), v_.data(), c_.type, c_.heads, c_.block, c_.dim, c_.k_scale, c_.v_scale};
    a.table = {pages_.data(), lengths_.data(), table_.max_blocks};
    if (!selected_.empty()) { a.selection = {device_selected_.data(), device_counts_.data(), max_selected_}; }
    a.num_requests = static_cast<int>(requests);
    a.num_q_heads = c_.heads * c_.group;
    a.scale = 1.0F / std::sqrt(static_cast<float>(c_.dim));
    return a;
  }

  std::size_t num_requests() const { return c_.lengths.size(); }
  std::vector<Bf16> output() const { return out_.read(); }

  // Shortens every request, on the device too, and gives the table's now unused slots garbage.
  void truncate(Random& random) {
    for (std::size_t b = 0; b < c_.lengths.size(); ++b) {
      const int length = static_cast<int>(random() % static_cast<std::uint64_t>(c_.lengths[b] + 1));
      for (int i = (length + c_.block - 1) / c_.block; i < table_.max_blocks; ++i) { table_.slot(b, i) = kGarbage; }
      c_.lengths[b] = table_.lengths[b] = length;
    }
    lengths_.write(table_.lengths);
    pages_.write(table_.pages);
  }

  void expect_close(const std::vector<Bf16>& out) const {
    std::vector<double> reference(q_.size());
    std::vector<double> lse(lse_.size());
    for (std::size_t b = 0; b < c_.lengths.size(); ++b) {
      for (int h = 0; h < c_.heads * c_.group; ++h) {
        const std::size_t head = b * static_cast<std::size_t>(c_.heads * c_.group) + static_cast<std::size_t>(h);
        lse[head] = attend(b, h, &reference[head * static_cast<std::size_t>(c_.dim)]);
      }
    }
    EXPECT_LT(relative_error(values(out), reference), 3e-3);
    const std::vector<float> device_lse = lse_.read();
    for (std::size_t i = 0; i < lse.size(); ++i) {
      if (std::isinf(lse[i])) {
        EXPECT_EQ(device_lse[i], -std::numeric_limits<float>::infinity());
      } else {
        EXPECT_NEAR(device_lse[i], lse[i], 1e-4 * std::max(1.0, std::abs(lse[i])));
      }
    }
    for (std::size_t i = 0; i < reference.size(); ++i) {
      ASSERT_NEAR(value(out[i]), reference[i], 1e-3 + std::abs(reference[i]) / 128) << "element " << i;
    }
  }

 private:
  int num_blocks(std::size_t request) const { return (c_.lengths[request] + c_.block - 1) / c_.block; }

  // float64 attention of one query head; returns the log of the denominator.
  double attend(std::size_t b, int q_head, double* out) const {
    const int h = q_head / c_.group;
    const std::size_t row = b * static_cast<std::size_t>(c_.heads) + static_cast<std::size_t>(h);
    const std::size_t q_at = (b * static_cast<std::size_t>(c_.heads * c_.group) + static_cast<std::size_t>(q_head)) *
                             static_cast<std::size_t>(c_.dim);
    std::vector<std::size_t> tokens;
    const int visited = selected_.empty() ? num_blocks(b) : counts_[row];
    for (int i = 0; i < visited; ++i) {
      const int block = selected_.empty()
                            ? i
                            : selected_[row * static_cast<std::size_t>(max_selected_) + static_cast<std::size_t>(i)];
      for (int t = block * c_.block; t < std::min((block + 1) * c_.block, c_.lengths[b]); ++t) {
        tokens.push_back(pool_.at(table_.slot(b, block), h, t % c_.block, 0));
      }
    }
    std::vector<double> scores;
    double top = -std::numeric_limits<double>::infinity();
    for (const std::size_t at : tokens) {
      double dot = 0.0;
      for (std::size_t d = 0; d < static_cast<std::size_t>(c_.dim); ++d) {
        dot += value(q_[q_at + d]) * static_cast<double>(decode(pool_.k[at + d], c_.type)) *
               static_cast<double>(c_.k_scale);
      }
      scores.push_back(dot / std::sqrt(static_cast<double>(c_.dim)));
      top = std::max(top, scores.back());
    }
    double denominator = 0.0;
    std::fill_n(out, c_.dim, 0.0);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const double p = std::exp(scores[i] - top);
      denominator += p;
      for (std::size_t d = 0; d < static_cast<std::size_t>(c_.dim); ++d) {
        out[d] += p * static_cast<double>(decode(pool_.v[tokens[i] + d], c_.type)) * static_cast<double>(c_.v_scale);
      }
    }
    for (int d = 0; d < c_.dim && !tokens.empty(); ++d) { out[d] /= denominator; }
    return tokens.empty() ? -std::numeric_limits<double>::infinity() : top + std::log(denominator);
  }

  Case c_;
  HostTable table_;
  HostPool pool_;
  std::vector<Bf16> q_;
  std::vector<std::int32_t> selected_, counts_;
  int max_selected_ = 0;
  DeviceArray<std::uint8_t> k_, v_;
  DeviceArray<std::int32_t> pages_, lengths_, device_selected_, device_counts_;
  DeviceArray<Bf16> device_q_, out_;
  DeviceArray<float> lse_;
};

bool same_bits(const std::vector<Bf16>& a, const std::vector<Bf16>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Bf16)) == 0;
}

using DecodeAttentionTest = DeviceTest;

TEST_F(DecodeAttentionTest, AgreesWithFloat64OnEveryShape) {
  Random random(1);
  for (const KvType type : kTypes) {
    for (const int dim : {64, 128}) {
      for (const int group : kGroups) {
        Case c;
        c.type = type;
        c.dim = dim;
        c.group = group;
        c.block = group % 4 == 0 ? 32 : 16;
        if (group % 3 == 0) { c.lengths = {1, 0, 47, 300}; }
        if (kv_type_size(type) == 1) {
          c.k_scale = 0.5F;
          c.v_scale = 1.75F;
        }
        SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(type) << " dim " << dim << " group " << group);
        Problem problem(c, random);
        problem.expect_close(problem.run());
        problem.select(0.3, random);
        problem.expect_close(problem.run());
      }
    }
  }
}

TEST_F(DecodeAttentionTest, AgreesWithFloat64OnEverySchedule) {
  Random random(2);
  for (const int warps : {1, 3, 4, 8}) {
    for (const int slots : {2, 3, 6}) {
      for (const int cluster : {1, 2, 8}) {
        Case c;
        c.schedule = {warps, slots, cluster};
        c.lengths = {700, 5, 0, 1999};
        SCOPED_TRACE(testing::Message() << "warps " << warps << " slots " << slots << " cluster " << cluster);
        Problem problem(c, random);
        problem.expect_close(problem.run());
      }
    }
  }
}

// A query head's bits do not depend on how many others share its kv head.
TEST_F(DecodeAttentionTest, HeadsOfAnOddGroupAreThoseOfTheLargerOne) {
  Random random(8);
  Case c;
  c.heads = 1;
  c.lengths = {900};
  c.group = 8;
  Problem problem(c, random);
  const std::vector<Bf16> all = problem.run();
  const auto dim = static_cast<std::ptrdiff_t>(c.dim);
  for (const int group : {7, 6, 5, 4, 3}) {
    SCOPED_TRACE(group);
    const std::vector<Bf16> fewer = problem.run_group(group);
    EXPECT_LT(relative_error(values(fewer), values({all.begin(), all.begin() + group * dim})), 3e-3);
  }
  EXPECT_TRUE(same_bits(problem.run_group(7), {all.begin(), all.begin() + 7 * dim})) << "7 heads run as 8";
}

TEST_F(DecodeAttentionTest, LongRowsCrossManyTileBatches) {
  Random random(3);
  Case c;
  c.heads = 1;
  c.lengths = {20011};
  c.schedule = {1, 4, 1};
  Problem problem(c, random);
  problem.expect_close(problem.run());
}

TEST_F(DecodeAttentionTest, BudgetCoveringAllBlocksIsBitIdenticalToDense) {
  Random random(4);
  for (const auto& [cluster, group, type] : {std::tuple{1, 2, KvType::bf16},
                                             {4, 2, KvType::bf16},
                                             {1, 3, KvType::bf16},
                                             {2, 7, KvType::fp8_e4m3},
                                             {1, 12, KvType::fp32}}) {
    SCOPED_TRACE(testing::Message() << "cluster " << cluster << " group " << group);
    Case c;
    c.schedule.cluster = cluster;
    c.group = group;
    c.type = type;
    Problem problem(c, random);
    const std::vector<Bf16> dense = problem.run();
    problem.select(2.0, random);
    EXPECT_TRUE(same_bits(dense, problem.run()));
  }
}

TEST_F(DecodeAttentionTest, RepeatsBitForBitAndWhateverTheBatch) {
  Random random(5);
  Case c;
  c.lengths = {777, 4096, 12, 2048};
  c.schedule.cluster = 2;
  Problem problem(c, random);
  const std::vector<Bf16> first = problem.run();
  for (int i = 0; i < 20; ++i) { ASSERT_TRUE(same_bits(first, problem.run())); }
  problem.expect_close(first);
  std::vector<Bf16> alone = problem.run(1);
  EXPECT_TRUE(same_bits(alone, {first.begin(), first.begin() + static_cast<std::ptrdiff_t>(alone.size())}));
}

// Over how many thread blocks a row is spread changes no bit of it, nor does the batch that decides on that.
TEST_F(DecodeAttentionTest, BitsDoNotFollowFromTheClusterOrTheBatch) {
  Random random(9);
  for (const KvType type : kTypes) {
    for (const int dim : {64, 128}) {
      for (const int group : {1, 2, 3, 4, 6, 7, 8, 12}) {
        Case c;
        c.type = type;
        c.dim = dim;
        c.group = group;
        c.lengths = {1, 0, 1100, 47, 300, 1024};
        Problem problem(c, random);
        for (const bool selected : {false, true}) {
          if (selected) { problem.select(0.4, random); }
          for (const int pieces : {8, 2}) {
            const std::vector<Bf16> whole = problem.run_as({8, 3, 1, pieces});
            if (pieces == 2) { problem.expect_close(whole); }
            for (int cluster = 2; cluster <= pieces; cluster *= 2) {
              SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(type) << " dim " << dim << " group "
                                              << group << " pieces " << pieces << " cluster " << cluster);
              const std::vector<Bf16> spread = problem.run_as({8, 3, cluster, pieces});
              EXPECT_TRUE(same_bits(spread, whole));
              const std::vector<Bf16> fewer = problem.run_as({8, 2, cluster, pieces}, 3);
              EXPECT_TRUE(same_bits(fewer, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(fewer.size())}));
            }
          }
        }
      }
    }
  }
}

// What `launch` puts on a stream is captured once and replayed while lengths and tables change.
template <class Launch>
void expect_replays_follow(Problem& problem, Random& random, const Launch& launch) {
  cudaStream_t stream{};
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  launch(stream);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    finish();
    problem.expect_close(problem.output());
    problem.truncate(random);
  }
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(DecodeAttentionTest, GraphReplaysFollowLengthsAndTables) {
  Random random(7);
  Case c;
  c.lengths = {1500, 900, 64, 333};
  c.schedule.cluster = 2;
  Problem problem(c, random);
  expect_replays_follow(problem, random, [&](cudaStream_t stream) {
    ASSERT_EQ(decode_attention(problem.args(problem.num_requests()), c.schedule, stream), cudaSuccess);
  });
}

TEST_F(DecodeAttentionTest, RefusesWhatItDoesNotSupport) {
  Random random(6);
  Case c;
  Problem problem(c, random);
  DecodeAttention a;
  EXPECT_EQ(decode_attention(a, {}, nullptr), cudaErrorInvalidValue);
  Bf16 host{};
  std::int32_t index = 0;
  a.q = &host;
  a.out = &host;
  a.kv = {&host, &host, KvType::bf16, 1, 16, 96, 1.0F, 1.0F};
  a.table = {&index, &index, 1};
  a.num_requests = 1;
  a.num_q_heads = 2;
  EXPECT_EQ(decode_attention(a, {}, nullptr), cudaErrorNotSupported);  // head_dim 96
  a.kv.head_dim = 128;
  a.kv.num_kv_heads = 2;
  a.num_q_heads = 3;
  EXPECT_EQ(decode_attention(a, {}, nullptr), cudaErrorInvalidValue);  // one and a half heads a kv head
  a.kv.num_kv_heads = 1;
  a.num_q_heads = 2;
  a.kv.block = 8;
  EXPECT_EQ(decode_attention(a, {}, nullptr), cudaErrorInvalidValue);
  a.kv.block = 16;
  EXPECT_EQ(decode_attention(a, {4, 6, 3}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(decode_attention(a, {8, 3, 4, 2}, nullptr), cudaErrorInvalidValue);  // more blocks than pieces
}

TEST(PlanDecodeAttention, SplitsOnlyWhereRowsAreFew) {
  EXPECT_EQ(plan_decode_attention(512, 512, 132).cluster, 1);
  EXPECT_EQ(plan_decode_attention(64, 512, 132).cluster, 2);
  EXPECT_EQ(plan_decode_attention(8, 2048, 132).cluster, 8);
  EXPECT_EQ(plan_decode_attention(8, 64, 132).cluster, 4);
  EXPECT_EQ(plan_decode_attention(8, 2, 132).cluster, 1);
  EXPECT_GT(plan_decode_attention(64, 512, 132).slots, plan_decode_attention(512, 512, 132).slots);
}

// A workspace as a caller keeps it: its counters zero, what lies after them anything.
class SpreadWorkspace {
 public:
  explicit SpreadWorkspace(std::size_t bytes) : memory_(bytes) {
    memory_.poison();
    check(cudaMemset(memory_.data(), 0, sizeof(std::int32_t) * kMaxSpreadRows), "cudaMemset");
  }
  void* data() const { return memory_.data(); }
  bool counters_are_zero() const {
    std::vector<std::uint8_t> bytes = memory_.read();
    bytes.resize(sizeof(std::int32_t) * kMaxSpreadRows);
    return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
  }

 private:
  DeviceArray<std::uint8_t> memory_;
};

std::vector<Bf16> run_spread(Problem& problem, const SpreadSchedule& schedule) {
  const SpreadWorkspace workspace(spread_workspace_bytes(problem.args(1), schedule));
  std::vector<Bf16> out = problem.run_with(
      [&](const DecodeAttention& a) { return spread_attention(a, schedule, workspace.data(), nullptr); });
  EXPECT_TRUE(workspace.counters_are_zero());
  return out;
}

using SpreadAttentionTest = DeviceTest;

TEST_F(SpreadAttentionTest, AgreesWithFloat64OnEveryShape) {
  Random random(21);
  for (const KvType type : {KvType::bf16, KvType::fp8_e4m3}) {
    for (const int dim : {64, 128}) {
      for (const int group : {1, 2, 3, 4}) {
        for (const int warps : {8, 16}) {
          Case c;
          c.type = type;
          c.dim = dim;
          c.group = group;
          c.block = group % 4 == 0 ? 32 : 16;
          if (group % 3 == 0) { c.lengths = {1, 0, 47, 300}; }
          if (kv_type_size(type) == 1) {
            c.k_scale = 0.5F;
            c.v_scale = 1.75F;
          }
          SpreadSchedule schedule;
          schedule.warps = warps;
          SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(type) << " dim " << dim << " group " << group
                                          << " warps " << warps);
          Problem problem(c, random);
          problem.expect_close(run_spread(problem, schedule));
          problem.select(0.3, random);
          problem.expect_close(run_spread(problem, schedule));
        }
      }
    }
  }
}

// Thread blocks with many rows, with a part of one, with none; rows that begin and end where a thread block does.
TEST_F(SpreadAttentionTest, AgreesWithFloat64HoweverRowsAreShared) {
  Random random(22);
  const std::vector<std::vector<std::int32_t>> batches = {
      {4096}, {0, 0, 5, 0}, {128, 128, 128, 128}, {700, 5, 0, 1999}, std::vector<std::int32_t>(70, 40)};
  for (const std::vector<std::int32_t>& lengths : batches) {
    Case c;
    c.lengths = lengths;
    Problem problem(c, random);
    for (const bool selected : {false, true}) {
      if (selected) { problem.select(0.4, random); }
      for (const int blocks : {1, 3, 16, 132, 256}) {
        for (const int least : {1, 4, 8}) {
          for (const bool ahead : {false, true}) {
            SCOPED_TRACE(testing::Message() << lengths.size() << " requests, " << blocks << " blocks, at least "
                                            << least << (ahead ? ", ahead" : "") << (selected ? ", selected" : ""));
            problem.expect_close(run_spread(problem, {blocks, 8, least, ahead}));
          }
        }
      }
    }
  }
}

TEST_F(SpreadAttentionTest, LongRowsCrossManyTileBatches) {
  Random random(23);
  Case c;
  c.heads = 1;
  c.lengths = {20011};
  Problem problem(c, random);
  problem.expect_close(run_spread(problem, {2, 8, 1, true}));
}

TEST_F(SpreadAttentionTest, RepeatsBitForBit) {
  Random random(24);
  Case c;
  c.lengths = {777, 4096, 12, 2048};
  Problem problem(c, random);
  const SpreadSchedule schedule;
  const SpreadWorkspace workspace(spread_workspace_bytes(problem.args(1), schedule));
  const auto attend = [&](const DecodeAttention& a) {
    return spread_attention(a, schedule, workspace.data(), nullptr);
  };
  const std::vector<Bf16> first = problem.run_with(attend);
  problem.expect_close(first);
  for (int i = 0; i < 50; ++i) { ASSERT_TRUE(same_bits(first, problem.run_with(attend))); }
}

TEST_F(SpreadAttentionTest, BudgetCoveringAllBlocksIsBitIdenticalToDense) {
  Random random(25);
  Case c;
  Problem problem(c, random);
  const std::vector<Bf16> dense = run_spread(problem, {});
  problem.select(2.0, random);
  EXPECT_TRUE(same_bits(dense, run_spread(problem, {})));
}

// Launches one behind the other, each early, on one workspace.
TEST_F(SpreadAttentionTest, GraphReplaysFollowLengthsAndTables) {
  Random random(26);
  Case c;
  c.lengths = {1500, 900, 64, 333};
  Problem problem(c, random);
  const SpreadSchedule schedule{132, 8, 4, true};
  const SpreadWorkspace workspace(spread_workspace_bytes(problem.args(1), schedule));
  expect_replays_follow(problem, random, [&](cudaStream_t stream) {
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(spread_attention(problem.args(problem.num_requests()), schedule, workspace.data(), stream),
                cudaSuccess);
    }
  });
}

TEST_F(SpreadAttentionTest, RefusesWhatItDoesNotSupport) {
  Random random(27);
  Case c;
  c.group = 5;
  Problem problem(c, random);
  DecodeAttention a = problem.args(1);
  int word = 0;
  EXPECT_FALSE(spread_attention_supports(a));
  EXPECT_EQ(spread_attention(a, {}, &word, nullptr), cudaErrorNotSupported);
  a.num_q_heads = 4;
  EXPECT_TRUE(spread_attention_supports(a));
  EXPECT_EQ(spread_attention(a, {}, nullptr, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(spread_attention(a, {0}, &word, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(spread_attention(a, {132, 4}, &word, nullptr), cudaErrorInvalidValue);
  a.kv.type = KvType::fp32;
  EXPECT_FALSE(spread_attention_supports(a));
  a.kv.type = KvType::bf16;
  a.num_requests = kMaxSpreadRows;
  EXPECT_FALSE(spread_attention_supports(a));
}

}  // namespace
}  // namespace vortex::cuda
