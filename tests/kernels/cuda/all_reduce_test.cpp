// Exchanges between ranks: on GPUs of their own where there are enough, else on streams of one.
#include "kernels/cuda/all_reduce.h"

#include <cstdlib>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/rank_group.h"
#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

constexpr std::uint64_t kWaitNs = 5'000'000'000;
constexpr std::int64_t kLargest = std::int64_t{3} << 20;  // bytes of a message

// Streams that wait for one another must not share a queue of the device; read when CUDA starts.
const int queues_set = ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);

// Is every word of every inbox empty again?
bool emptied(const RankGroup& group) {
  for (const DeviceArray<std::uint8_t>& inbox : group.inboxes()) {
    const std::vector<std::uint8_t> bytes = inbox.read();
    if (std::any_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b != 0xff; })) { return false; }
  }
  return true;
}

std::vector<std::vector<Bf16>> random_of_ranks(int ranks, std::size_t count, Random& random) {
  std::vector<std::vector<Bf16>> x;
  for (int rank = 0; rank < ranks; ++rank) { x.push_back(random_bf16(count, random)); }
  return x;
}

// In float32, in the order of the ranks, rounded once.
std::vector<Bf16> host_sum(const std::vector<std::vector<Bf16>>& x) {
  std::vector<Bf16> out(x[0].size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    float total = __bfloat162float(x[0][i]);
    for (std::size_t rank = 1; rank < x.size(); ++rank) { total += __bfloat162float(x[rank][i]); }
    out[i] = __float2bfloat16(total);
  }
  return out;
}

bool same_bits(const std::vector<Bf16>& a, const std::vector<Bf16>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](Bf16 x, Bf16 y) {
           return __bfloat16_as_ushort(x) == __bfloat16_as_ushort(y);
         });
}

// What a call is made of that all tests vary.
struct Call {
  int turn = 0;
  int call = 0;
  ExchangeSchedule schedule;
};

// One sum of `x` on every rank; gives what each rank got.
void reduce(const RankGroup& group, const std::vector<DeviceArray<Bf16>>& x, std::vector<DeviceArray<Bf16>>& out,
            std::int64_t count, const Call& call) {
  for (int rank = 0; rank < group.ranks(); ++rank) {
    group.use(rank);
    const auto at = static_cast<std::size_t>(rank);
    const AllReduce args{group.peers(rank), call.turn, call.call, x[at].data(), out[at].data(), count};
    ASSERT_EQ(all_reduce(args, call.schedule, group.stream(rank)), cudaSuccess);
  }
  group.use(0);
}

using AllReduceTest = DeviceTest;

// Sizes that differ from call to call, by both ways in turn.
void expect_sums(int ranks, bool one_device) {
  RankGroup group(ranks, kLargest, kWaitNs, one_device);
  SCOPED_TRACE(testing::Message() << ranks << " ranks, shared " << group.shared());
  Random random(static_cast<std::uint64_t>(ranks));
  int calls = 0;
  for (const int count : {8, 4096, 16, 40960, 24, 8 * 1001, 131072, 64, 1048576 + 8, 8}) {
    for (const bool two_shot : {false, true}) {
      SCOPED_TRACE(testing::Message() << count << " numbers, two shots " << two_shot);
      const auto size = static_cast<std::size_t>(count);
      const auto x = random_of_ranks(ranks, size, random);
      const auto device = group.arrays(x);
      auto out = group.arrays(std::vector<std::vector<Bf16>>(static_cast<std::size_t>(ranks), x[0]));
      ExchangeSchedule schedule = plan_exchange(group.peers(0), 2 * std::int64_t{count});
      schedule.two_shot = two_shot;
      reduce(group, device, out, count, {calls % 2, calls, schedule});
      ++calls;
      for (const std::uint32_t fault : group.finish()) { ASSERT_EQ(fault, 0U); }
      const std::vector<Bf16> expected = host_sum(x);
      for (const auto& got : out) { EXPECT_TRUE(same_bits(got.read(), expected)); }
    }
  }
  EXPECT_TRUE(emptied(group));
}

TEST_F(AllReduceTest, SumsAreThoseOfTheHostOnEveryRank) {
  for (const int ranks : {1, 2, 3, 4, 8}) { expect_sums(ranks, false); }
}

TEST_F(AllReduceTest, RanksMayShareADevice) {
  for (const int ranks : {2, 4}) { expect_sums(ranks, true); }
}

// A graph on each rank, of calls of several sizes in place, replayed without a look of the host in between.
TEST_F(AllReduceTest, GraphsMayBeReplayed) {
  for (const int ranks : {2, 4}) {
    RankGroup group(ranks, kLargest, kWaitNs);
    SCOPED_TRACE(testing::Message() << ranks << " ranks");
    constexpr int kCount = 8 * 512;
    constexpr int kReplays = 50;
    Random random(3);
    // Ranks hold powers of two, so that sums of sums are exact: x becomes ranks * x.
    std::vector<std::vector<Bf16>> ones(static_cast<std::size_t>(ranks),
                                        std::vector<Bf16>(kCount, __float2bfloat16(1.0F)));
    auto x = group.arrays(ones);
    auto y = group.arrays(ones);
    std::vector<cudaGraphExec_t> graphs;
    for (int rank = 0; rank < ranks; ++rank) {
      group.use(rank);
      const auto at = static_cast<std::size_t>(rank);
      cudaStream_t stream = group.stream(rank);
      check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
      for (int call = 0; call < 6; ++call) {
        const std::int64_t count = call < 2 ? kCount : 8 * (call * 37);
        const AllReduce args{group.peers(rank), call % 2, call, x[at].data(), y[at].data(), count};
        ASSERT_EQ(all_reduce(args, {call % 3 == 0, 4}, stream), cudaSuccess);
      }
      cudaGraph_t graph{};
      check(cudaStreamEndCapture(stream, &graph), "capture");
      check(cudaGraphInstantiate(&graphs.emplace_back(), graph, 0), "instantiate");
      check(cudaGraphDestroy(graph), "graph");
    }
    for (int i = 0; i < kReplays; ++i) {
      for (int rank = 0; rank < ranks; ++rank) {
        group.use(rank);
        check(cudaGraphLaunch(graphs[static_cast<std::size_t>(rank)], group.stream(rank)), "replay");
      }
    }
    for (const std::uint32_t fault : group.finish()) { ASSERT_EQ(fault, 0U); }
    for (const auto& got : y) {
      const std::vector<Bf16> read = got.read();
      EXPECT_TRUE(std::all_of(read.begin(), read.end(), [&](Bf16 v) { return value(v) == ranks; }));
    }
    EXPECT_TRUE(emptied(group));
    for (cudaGraphExec_t graph : graphs) { cudaGraphExecDestroy(graph); }
  }
}

// All bits set is what an inbox looks like where nothing came.
TEST_F(AllReduceTest, NansArriveAsNans) {
  constexpr int kRanks = 2;
  constexpr int kCount = 1024;
  RankGroup group(kRanks, kLargest, kWaitNs);
  for (const bool two_shot : {false, true}) {
    std::vector<std::vector<Bf16>> x(kRanks, std::vector<Bf16>(kCount, __ushort_as_bfloat16(0xffff)));
    const auto device = group.arrays(x);
    auto out = group.arrays(x);
    reduce(group, device, out, kCount, {two_shot ? 1 : 0, 0, {two_shot, 2}});
    for (const std::uint32_t fault : group.finish()) { ASSERT_EQ(fault, 0U); }
    for (const auto& got : out) {
      for (const Bf16 v : got.read()) { ASSERT_TRUE(std::isnan(value(v))); }
    }
  }
}

// A rank that never comes ends the others' wait, who say whom they missed, and later calls do not wait again.
TEST_F(AllReduceTest, AMissingRankIsNamed) {
  constexpr int kCount = 8 * 300;
  RankGroup group(2, kLargest, 20'000'000, true);
  const auto x = group.arrays(std::vector<std::vector<Bf16>>(2, std::vector<Bf16>(kCount)));
  DeviceArray<Bf16> out(kCount);
  for (int call = 5; call < 9; ++call) {
    const AllReduce args{group.peers(0), call % 2, call, x[0].data(), out.data(), kCount};
    ASSERT_EQ(all_reduce(args, {call == 6, 2}, group.stream(0)), cudaSuccess);
  }
  const std::vector<std::uint32_t> faults = group.finish();
  EXPECT_EQ(faults[1], 0U);
  EXPECT_EQ(fault_of(faults[0]).call, 5);
  EXPECT_EQ(fault_of(faults[0]).from, 1);
}

struct NormCase {
  int ranks, rows, width;
  bool two_shot;
};

TEST_F(AllReduceTest, ResidualAndNormAgreeWithTwoNodes) {
  Random random(4);
  for (const NormCase& c : {NormCase{2, 1, 3072, false}, NormCase{2, 64, 2048, false}, NormCase{2, 200, 3072, true},
                            NormCase{4, 3, 5120, true}, NormCase{4, 64, 3072, true}, NormCase{4, 17, 64, false},
                            NormCase{3, 5, 8192, true}, NormCase{1, 5, 128, true}}) {
    SCOPED_TRACE(testing::Message() << c.ranks << " ranks, " << c.rows << " x " << c.width << ", two shots "
                                    << c.two_shot);
    RankGroup group(c.ranks, kLargest, kWaitNs);
    const auto w = static_cast<std::size_t>(c.width);
    const std::size_t count = static_cast<std::size_t>(c.rows) * w;
    const auto x = random_of_ranks(c.ranks, count, random);
    const std::vector<Bf16> residual = random_bf16(count, random);
    const std::vector<Bf16> weight = random_bf16(w, random);
    const auto all = static_cast<std::size_t>(c.ranks);
    const auto device_x = group.arrays(x);
    const auto residuals = group.arrays(std::vector<std::vector<Bf16>>(all, residual));
    const auto weights = group.arrays(std::vector<std::vector<Bf16>>(all, weight));
    const auto outs = group.arrays(std::vector<std::vector<Bf16>>(all, std::vector<Bf16>(count)));
    for (int rank = 0; rank < c.ranks; ++rank) {
      group.use(rank);
      const auto at = static_cast<std::size_t>(rank);
      AllReduceNorm args;
      args.peers = group.peers(rank);
      args.x = device_x[at].data();
      args.residual = residuals[at].data();
      args.weight = weights[at].data();
      args.out = outs[at].data();
      args.rows = c.rows;
      args.width = c.width;
      ASSERT_EQ(all_reduce_norm(args, {c.two_shot, 24}, group.stream(rank)), cudaSuccess);
    }
    for (const std::uint32_t fault : group.finish()) { ASSERT_EQ(fault, 0U); }

    const DeviceArray<Bf16> one_residual(residual), one_x(host_sum(x)), one_weight(weight), one_out(count);
    ResidualNorm one{one_residual.data(), one_x.data(), one_weight.data(), one_out.data(), c.rows, c.width, 1e-6F};
    ASSERT_EQ(residual_rms_norm(one, nullptr), cudaSuccess);
    finish();
    const std::vector<Bf16> expected_residual = one_residual.read();
    const std::vector<double> expected = values(one_out.read());
    const std::vector<Bf16> first = outs[0].read();
    for (int rank = 0; rank < c.ranks; ++rank) {
      const auto at = static_cast<std::size_t>(rank);
      EXPECT_TRUE(same_bits(outs[at].read(), first));
      const RowRange own = c.two_shot ? rows_of_rank(c.rows, c.ranks, rank) : RowRange{0, c.rows};
      const std::vector<Bf16> got = residuals[at].read();
      const auto begin = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(own.first) * w);
      const auto end = begin + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(own.count) * w);
      EXPECT_TRUE(same_bits({got.begin() + begin, got.begin() + end},
                            {expected_residual.begin() + begin, expected_residual.begin() + end}));
    }
    EXPECT_LT(relative_error(values(first), expected), 3e-3);
    EXPECT_TRUE(emptied(group));
  }
}

TEST_F(AllReduceTest, FactorsAreThoseOfAllHeads) {
  constexpr int kTokens = 300;
  constexpr int kDim = 128;
  constexpr int kQ = 6;
  constexpr int kKv = 1;
  Random random(5);
  for (const int ranks : {2, 4}) {
    RankGroup group(ranks, kLargest, kWaitNs);
    SCOPED_TRACE(testing::Message() << ranks << " ranks");
    const auto x = random_of_ranks(ranks, std::size_t{kTokens} * (kQ + 2 * kKv) * kDim, random);
    const auto device = group.arrays(x);
    const auto factors =
        group.arrays(std::vector<std::vector<float2>>(static_cast<std::size_t>(ranks), std::vector<float2>(kTokens)));
    for (int rank = 0; rank < ranks; ++rank) {
      group.use(rank);
      const auto at = static_cast<std::size_t>(rank);
      const AllReduceFactors args{
          group.peers(rank), 0, 0, device[at].data(), factors[at].data(), kTokens, kQ, kKv, kDim, 1e-6F};
      ASSERT_EQ(all_reduce_factors(args, group.stream(rank)), cudaSuccess);
    }
    for (const std::uint32_t fault : group.finish()) { ASSERT_EQ(fault, 0U); }
    const std::vector<float2> first = factors[0].read();
    for (int token = 0; token < kTokens; ++token) {
      double squares[2] = {};
      for (const auto& of_rank : x) {
        const Bf16* row = &of_rank[static_cast<std::size_t>(token) * (kQ + 2 * kKv) * kDim];
        for (int i = 0; i < (kQ + kKv) * kDim; ++i) { squares[i < kQ * kDim ? 0 : 1] += value(row[i]) * value(row[i]); }
      }
      const float2 got = first[static_cast<std::size_t>(token)];
      ASSERT_NEAR(got.x * std::sqrt(squares[0] / (ranks * kQ * kDim) + 1e-6), 1.0, 1e-5);
      ASSERT_NEAR(got.y * std::sqrt(squares[1] / (ranks * kKv * kDim) + 1e-6), 1.0, 1e-5);
    }
    for (const auto& of_rank : factors) {
      const std::vector<float2> got = of_rank.read();
      EXPECT_TRUE(std::equal(got.begin(), got.end(), first.begin(),
                             [](float2 a, float2 b) { return a.x == b.x && a.y == b.y; }));
    }
  }
}

TEST_F(AllReduceTest, ColumnsAreGathered) {
  constexpr int kRows = 7;
  constexpr int kColumns = 1000;
  for (const int ranks : {2, 3, 4}) {
    RankGroup group(ranks, kLargest, kWaitNs);
    SCOPED_TRACE(testing::Message() << ranks << " ranks");
    const int stride = ranks * kColumns + 8;
    std::vector<std::vector<float>> rows(static_cast<std::size_t>(ranks),
                                         std::vector<float>(static_cast<std::size_t>(kRows * stride), -1.0F));
    const auto number = [&](int row, int column) { return static_cast<float>(row * stride + column); };
    for (int rank = 0; rank < ranks; ++rank) {
      for (int row = 0; row < kRows; ++row) {
        for (int c = rank * kColumns; c < (rank + 1) * kColumns; ++c) {
          rows[static_cast<std::size_t>(rank)][static_cast<std::size_t>(row * stride + c)] = number(row, c);
        }
      }
    }
    const auto device = group.arrays(rows);
    for (int rank = 0; rank < ranks; ++rank) {
      group.use(rank);
      const AllGather args{group.peers(rank), 1,     0, device[static_cast<std::size_t>(rank)].data(), kRows,
                           kColumns,          stride};
      ASSERT_EQ(all_gather(args, group.stream(rank)), cudaSuccess);
    }
    for (const std::uint32_t fault : group.finish()) { ASSERT_EQ(fault, 0U); }
    for (const auto& of_rank : device) {
      const std::vector<float> got = of_rank.read();
      for (int row = 0; row < kRows; ++row) {
        for (int c = 0; c < stride; ++c) {
          const float expected = c < ranks * kColumns ? number(row, c) : -1.0F;
          ASSERT_EQ(got[static_cast<std::size_t>(row * stride + c)], expected);
        }
      }
    }
  }
}

TEST(AllReduce, WrongArgumentsAreRefused) {
  std::uint32_t fault = 0;
  Bf16 x{};
  AllReduce args;
  EXPECT_EQ(all_reduce(args, {}, nullptr), cudaErrorInvalidValue);
  args.peers.ranks = 2;
  args.peers.fault = &fault;
  args.x = &x;
  args.out = &x;
  args.count = 7;
  EXPECT_EQ(all_reduce(args, {}, nullptr), cudaErrorNotSupported);
  args.count = 8;
  EXPECT_EQ(all_reduce(args, {}, nullptr), cudaErrorInvalidValue);  // does not fit the inbox
  args.turn = 2;
  EXPECT_EQ(all_reduce(args, {}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(all_reduce_norm({}, {}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(all_reduce_factors({}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(all_gather({}, nullptr), cudaErrorInvalidValue);
}

TEST(AllReduce, RowsOfRanksCoverAllOnce) {
  for (const int rows : {1, 2, 5, 64, 100}) {
    for (int ranks = 1; ranks <= kMaxRanks; ++ranks) {
      int next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const RowRange range = rows_of_rank(rows, ranks, rank);
        EXPECT_EQ(range.first, next);
        EXPECT_GE(range.count, 0);
        next += range.count;
      }
      EXPECT_EQ(next, rows);
    }
  }
}

TEST(AllReduce, FaultsAreTold) {
  const ExchangeFault fault = fault_of(fault_code(1000, 3));
  EXPECT_EQ(fault.call, 1000);
  EXPECT_EQ(fault.from, 3);
}

}  // namespace
}  // namespace vortex::cuda
