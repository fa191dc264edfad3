#include "kernels/cuda/plan.h"

#include <set>

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

constexpr int kBlock = 16;
constexpr int kMaxBlocks = 8;

using PlanTest = DeviceTest;

// Plans steps and releases for a batch while a plain model of the pool on the host does the same.
class Pool {
 public:
  Pool(int num_requests, int num_pages)
      : n_(static_cast<std::size_t>(num_requests)),
        lengths_(std::vector<std::int32_t>(n_, 0)),
        table_(std::vector<std::int32_t>(n_ * kMaxBlocks, kGarbage)),
        free_(std::vector<std::int32_t>(static_cast<std::size_t>(num_pages))),
        count_(std::vector<std::int32_t>(1, num_pages)),
        granted_(n_),
        budgets_(n_) {
    std::vector<std::int32_t> pages(static_cast<std::size_t>(num_pages));
    std::iota(pages.begin(), pages.end(), 0);
    free_.write(pages);
  }

  // Returns which requests got their place.
  std::vector<std::uint8_t> step(const std::vector<std::int32_t>& new_tokens) {
    const std::vector<std::int32_t> before = lengths_.read();
    int available = count_.read()[0];
    const DeviceArray<std::int32_t> device_new_tokens(new_tokens);
    granted_.poison();
    budgets_.poison();
    PlanStep a;
    a.lengths = lengths_.data();
    a.table = table_.data();
    a.new_tokens = device_new_tokens.data();
    a.granted = granted_.data();
    a.budgets = budgets_.data();
    a.free = {free_.data(), count_.data()};
    a.budget = {2, 0.6F, 1, 1};
    a.num_requests = static_cast<int>(n_);
    a.max_blocks = kMaxBlocks;
    a.block = kBlock;
    EXPECT_EQ(plan_step(a, nullptr), cudaSuccess);
    finish();

    const std::vector<std::uint8_t> granted = granted_.read();
    const std::vector<std::int32_t> lengths = lengths_.read();
    const std::vector<std::int32_t> budgets = budgets_.read();
    bool waiting = false;
    for (std::size_t r = 0; r < n_; ++r) {
      const int after = before[r] + new_tokens[r];
      const bool fits = new_tokens[r] > 0 && after <= kMaxBlocks * kBlock;
      const int needed = fits ? (after + kBlock - 1) / kBlock - (before[r] + kBlock - 1) / kBlock : 0;
      waiting = waiting || needed > available;
      const bool expected = fits && (needed == 0 || !waiting);
      EXPECT_EQ(granted[r], expected ? 1 : 0) << "request " << r;
      if (expected) { available -= needed; }
      EXPECT_EQ(lengths[r], expected ? after : before[r]) << "request " << r;
      const int blocks = (lengths[r] + kBlock - 1) / kBlock;
      EXPECT_EQ(budgets[r], std::max(4, static_cast<int>(static_cast<float>(blocks) * 0.6F)));
    }
    EXPECT_EQ(count_.read()[0], available);
    expect_pages_partitioned();
    return granted;
  }

  void release(const std::vector<std::uint8_t>& finished) {
    const DeviceArray<std::uint8_t> device(finished);
    ReleasePages a;
    a.lengths = lengths_.data();
    a.table = table_.data();
    a.finished = device.data();
    a.free = {free_.data(), count_.data()};
    a.num_requests = static_cast<int>(n_);
    a.max_blocks = kMaxBlocks;
    a.block = kBlock;
    EXPECT_EQ(release_pages(a, nullptr), cudaSuccess);
    finish();
    const std::vector<std::int32_t> lengths = lengths_.read();
    for (std::size_t r = 0; r < n_; ++r) { EXPECT_TRUE(!finished[r] || lengths[r] == 0) << "request " << r; }
    expect_pages_partitioned();
  }

 private:
  // Every page is either free or in exactly one request's table.
  void expect_pages_partitioned() const {
    std::multiset<std::int32_t> seen;
    const std::vector<std::int32_t> free = free_.read();
    for (std::int32_t i = 0; i < count_.read()[0]; ++i) { seen.insert(free[static_cast<std::size_t>(i)]); }
    const std::vector<std::int32_t> lengths = lengths_.read();
    const std::vector<std::int32_t> table = table_.read();
    for (std::size_t r = 0; r < n_; ++r) {
      for (int i = 0; i < (lengths[r] + kBlock - 1) / kBlock; ++i) {
        seen.insert(table[r * kMaxBlocks + static_cast<std::size_t>(i)]);
      }
    }
    ASSERT_EQ(seen.size(), free.size());
    std::int32_t expected = 0;
    for (const std::int32_t page : seen) { ASSERT_EQ(page, expected++); }
  }

  std::size_t n_;
  DeviceArray<std::int32_t> lengths_, table_, free_, count_;
  DeviceArray<std::uint8_t> granted_;
  DeviceArray<std::int32_t> budgets_;
};

TEST_F(PlanTest, AllocatesReleasesAndLetsTheLaterOnesWait) {
  Random random(1);
  for (const int n : {1, 5, 33, 700, 1024}) {
    SCOPED_TRACE(n);
    Pool pool(n, n + n / 3 + 1);  // runs dry at the second block
    const auto size = static_cast<std::size_t>(n);
    for (int step = 0; step < 60; ++step) {
      std::vector<std::int32_t> new_tokens(size);
      for (auto& n_new : new_tokens) { n_new = random() % 8 != 0 ? 1 : static_cast<std::int32_t>(random() % 40); }
      pool.step(new_tokens);
      if (step % 10 == 9) {
        std::vector<std::uint8_t> finished(size);
        for (auto& f : finished) { f = random() % 4 == 0; }
        pool.release(finished);
      }
    }
  }
}

TEST_F(PlanTest, StopsAtTheEndOfTheTable) {
  Pool pool(2, 100);
  int granted = 0;
  for (int step = 0; step < kMaxBlocks * kBlock + 3; ++step) { granted += pool.step({1, 0})[0]; }
  EXPECT_EQ(granted, kMaxBlocks * kBlock);
}

TEST_F(PlanTest, RefusesBadArguments) {
  EXPECT_EQ(plan_step({}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(release_pages({}, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace vortex::cuda
