// Selecting and attending by one kernel beside the two that do it one after the other.
#include "kernels/cuda/select_attend.h"

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

struct Case {
  KvType type = KvType::bf16;
  int dim = 128;
  int group = 2;
  int heads = 2;
  int block = 16;
  bool equal = false;  // all centroids: every score is a tie
};

constexpr int kMaxSelected = 96;

class Both {
 public:
  Both(const Case& c, const std::vector<std::int32_t>& lengths, const std::vector<std::int32_t>& budgets,
       Random& random)
      : c_(c), table_(lengths, c.block, random), pool_(c.type, table_.num_pages, c.heads, c.block, c.dim) {
    fill_tokens(pool_, table_, random);
    k_ = DeviceArray<std::uint8_t>(pool_.bytes(pool_.k));
    v_ = DeviceArray<std::uint8_t>(pool_.bytes(pool_.v));
    pages_ = DeviceArray<std::int32_t>(table_.pages);
    lengths_ = DeviceArray<std::int32_t>(table_.lengths);
    budgets_ = DeviceArray<std::int32_t>(budgets);
    const auto dim = static_cast<std::size_t>(c.dim);
    const std::size_t rows = lengths.size() * static_cast<std::size_t>(c.heads);
    q_ = DeviceArray<Bf16>(random_bf16(rows * static_cast<std::size_t>(c.group) * dim, random));
    std::vector<Bf16> centroids = random_bf16(static_cast<std::size_t>(table_.num_pages * c.heads) * dim, random);
    if (c.equal) { std::fill(centroids.begin(), centroids.end(), __float2bfloat16(0.5F)); }
    centroids_ = DeviceArray<Bf16>(centroids);
    out_ = DeviceArray<Bf16>(q_.size());
    lse_ = DeviceArray<float>(q_.size() / dim);
    blocks_ = DeviceArray<std::int32_t>(rows * kMaxSelected);
    counts_ = DeviceArray<std::int32_t>(rows);
  }

  // Of `count` requests from `first` on; all by default.
  SelectAndAttend args(std::size_t first = 0, std::size_t count = std::numeric_limits<std::size_t>::max()) {
    for (auto* array : {&blocks_, &counts_}) { array->poison(); }
    out_.poison();
    lse_.poison();
    const int requests = static_cast<int>(std::min(count, table_.lengths.size() - first));
    const std::size_t rows = first * static_cast<std::size_t>(c_.heads);
    const std::size_t heads = rows * static_cast<std::size_t>(c_.group);
    const std::size_t values = heads * static_cast<std::size_t>(c_.dim);
    const std::int32_t* pages = pages_.data() + first * static_cast<std::size_t>(table_.max_blocks);
    SelectAndAttend s;
    s.score = {q_.data() + values, centroids_.data(), pages, table_.max_blocks, c_.group * c_.heads, c_.dim, true};
    s.rule = {lengths_.data() + first, budgets_.data() + first, requests, c_.heads, c_.block, 1, 2};
    s.out = {blocks_.data() + rows * kMaxSelected, counts_.data() + rows, kMaxSelected};
    s.attention.q = q_.data() + values;
    s.attention.out = out_.data() + values;
    s.attention.lse = lse_.data() + heads;
    s.attention.kv = {k_.data(), v_.data(), c_.type, c_.heads, c_.block, c_.dim, 1.0F, 1.0F};
    s.attention.table = {pages, lengths_.data() + first, table_.max_blocks};
    s.attention.num_requests = requests;
    s.attention.num_q_heads = c_.group * c_.heads;
    s.attention.scale = 1.0F / std::sqrt(static_cast<float>(c_.dim));
    return s;
  }

  struct Result {
    std::vector<std::int32_t> counts;
    std::vector<std::vector<std::int32_t>> blocks;
    std::vector<std::uint16_t> out;
    std::vector<float> lse;
  };

  Result read() const {
    finish();
    Result r;
    r.counts = counts_.read();
    const std::vector<std::int32_t> blocks = blocks_.read();
    for (std::size_t row = 0; row < r.counts.size(); ++row) {
      const auto from = blocks.begin() + static_cast<std::ptrdiff_t>(row * kMaxSelected);
      r.blocks.emplace_back(from, from + std::clamp(r.counts[row], 0, kMaxSelected));
    }
    for (const Bf16 x : out_.read()) { r.out.push_back(__bfloat16_as_ushort(x)); }
    r.lse = lse_.read();
    return r;
  }

  Result apart(int cluster = 1, int pieces = 8) { return apart(args(), cluster, pieces); }
  Result apart(SelectAndAttend s, int cluster, int pieces) {
    EXPECT_EQ(score_and_select(s.score, s.rule, s.out, nullptr), cudaSuccess);
    s.attention.selection = {s.out.blocks, s.out.counts, kMaxSelected};
    EXPECT_EQ(decode_attention(s.attention, DecodeSchedule{8, 3, cluster, pieces}, nullptr), cudaSuccess);
    return read();
  }

  Result joined(int cluster, int pieces = 8) { return joined(args(), cluster, pieces); }
  Result joined(const SelectAndAttend& s, int cluster, int pieces) {
    EXPECT_TRUE(select_and_attend_supports(s));
    EXPECT_EQ(select_and_attend(s, {cluster, pieces}, nullptr), cudaSuccess);
    return read();
  }

 private:
  Case c_;
  HostTable table_;
  HostPool pool_;
  DeviceArray<std::uint8_t> k_, v_;
  DeviceArray<std::int32_t> pages_, lengths_, budgets_, blocks_, counts_;
  DeviceArray<Bf16> q_, centroids_, out_;
  DeviceArray<float> lse_;
};

void expect_alike(const Case& c, const std::vector<std::int32_t>& lengths, const std::vector<std::int32_t>& budgets,
                  Random& random) {
  Both both(c, lengths, budgets, random);
  for (const int pieces : {1, 4, 8}) {
    const Both::Result apart = both.apart(1, pieces);
    for (int cluster = 1; cluster <= pieces; cluster *= 2) {
      SCOPED_TRACE(::testing::Message() << "cluster " << cluster << ", pieces " << pieces << ", dim " << c.dim
                                        << ", group " << c.group << ", type " << static_cast<int>(c.type));
      const Both::Result joined = both.joined(cluster, pieces);
      EXPECT_EQ(joined.counts, apart.counts);
      EXPECT_EQ(joined.blocks, apart.blocks);
      EXPECT_EQ(joined.out, apart.out) << "other bits";
      EXPECT_EQ(joined.lse, apart.lse);
    }
  }
}

using SelectAndAttendTest = DeviceTest;

TEST_F(SelectAndAttendTest, IsTheTwoKernelsOneAfterTheOther) {
  Random random(3);
  const std::vector<std::int32_t> lengths = {0, 1, 16, 17, 333, 1024, 4000, 16384, 16383, 8001};
  const std::vector<std::int32_t> budgets = {20, 20, 20, 20, 3, 64, 64, 67, 96, 500};
  for (const KvType type : {KvType::bf16, KvType::fp8_e4m3}) {
    for (const int dim : {64, 128}) {
      for (const int group : {2, 3, 4}) { expect_alike({type, dim, group, 2, 16, false}, lengths, budgets, random); }
    }
  }
}

// Whatever is in the batch, and whichever kernels it takes, as engines choose them by the number of rows.
TEST_F(SelectAndAttendTest, BitsDoNotFollowFromTheBatch) {
  constexpr int kRequests = 64;
  constexpr int kMultiprocessors = 132;
  Random random(6);
  std::vector<std::int32_t> lengths;
  std::vector<std::int32_t> budgets;
  for (int b = 0; b < kRequests; ++b) {
    const int length = b % 8 == 3 ? 1700 - b : 1 + b * 211 % 600;
    lengths.push_back(b % 9 == 4 ? 0 : length);  // a slot in nine is idle
    budgets.push_back(3 + b * 7 % 90);
  }
  for (const KvType type : kTypes) {
    const Case c{type, 128, 2, 4, 16, false};
    const bool fused = type == KvType::bf16 || type == KvType::fp8_e4m3;
    Both both(c, lengths, budgets, random);
    const Both::Result whole = both.apart();
    const auto expect_same = [&](const Both::Result& found, std::size_t first, std::size_t count) {
      const auto rows = static_cast<std::size_t>(c.heads);
      const std::size_t values = rows * static_cast<std::size_t>(c.group * c.dim);
      for (std::size_t row = first * rows; row < (first + count) * rows; ++row) {
        EXPECT_EQ(found.counts[row], whole.counts[row]) << row;
        EXPECT_EQ(found.blocks[row], whole.blocks[row]) << row;
      }
      for (std::size_t i = first * values; i < (first + count) * values; ++i) {
        ASSERT_EQ(found.out[i], whole.out[i]) << "other bits";
      }
    };
    for (const int count : {1, 2, 8, 16, 33, 64}) {
      SCOPED_TRACE(::testing::Message() << "batch " << count << ", type " << static_cast<int>(type));
      const auto requests = static_cast<std::size_t>(count);
      const int rows = count * c.heads;
      const int apart = plan_decode_attention(rows, kMaxSelected, kMultiprocessors).cluster;
      expect_same(both.apart(both.args(0, requests), apart, 8), 0, requests);
      if (!fused) { continue; }
      const int joined = plan_select_and_attend(rows, kMultiprocessors).cluster;
      expect_same(both.joined(both.args(0, requests), joined, 8), 0, requests);
    }
    for (const std::size_t alone : {std::size_t{3}, std::size_t{4}, std::size_t{40}, std::size_t{63}}) {
      SCOPED_TRACE(::testing::Message() << "request " << alone << " alone");
      expect_same(both.apart(both.args(alone, 1), 4, 8), alone, 1);
      if (fused) { expect_same(both.joined(both.args(alone, 1), 8, 8), alone, 1); }
    }
  }
}

TEST_F(SelectAndAttendTest, TiesAndOtherBlocks) {
  Random random(4);
  expect_alike({KvType::bf16, 128, 2, 1, 16, true}, {5000, 40, 2047}, {64, 64, 5}, random);
  expect_alike({KvType::bf16, 128, 2, 3, 64, false}, {5000, 40, 9000}, {64, 64, 20}, random);
}

TEST_F(SelectAndAttendTest, RefusesWhatItDoesNotCover) {
  Random random(5);
  for (const Case& c : {Case{KvType::fp8_e5m2, 128, 2}, Case{KvType::bf16, 128, 1}, Case{KvType::bf16, 128, 8}}) {
    Both both(c, {40}, {64}, random);
    const SelectAndAttend s = both.args();
    EXPECT_FALSE(select_and_attend_supports(s));
    EXPECT_EQ(select_and_attend(s, {1}, nullptr), cudaErrorNotSupported);
  }
  Both both({}, {40}, {64}, random);
  EXPECT_EQ(select_and_attend(both.args(), {3}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(select_and_attend(both.args(), {8, 4}, nullptr), cudaErrorInvalidValue) << "more blocks than pieces";
}

}  // namespace
}  // namespace vortex::cuda
