// Schedules by size beside the prototype's times between H100s with early launch, microseconds a call
// (docs/benchmarks/tensor-parallel.md). Needs no device.
#include <gtest/gtest.h>

#include "kernels/cuda/all_reduce.h"

namespace vortex::cuda {
namespace {

struct Measured {
  int cards;
  std::int64_t kilobytes;
  double one_shot;
  double two_shot;
};

constexpr Measured kMeasured[] = {
    {2, 8, 1.77, 2.61},   {2, 64, 2.01, 3.01},   {2, 256, 2.65, 3.45},  {2, 512, 3.45, 4.14},  {2, 1024, 4.88, 5.37},
    {2, 2048, 7.8, 8.2},  {2, 8192, 28.2, 26.0}, {4, 8, 2.34, 3.75},    {4, 64, 2.90, 4.12},   {4, 256, 4.62, 4.52},
    {4, 512, 6.82, 5.43}, {4, 1024, 11.3, 7.0},  {4, 2048, 20.5, 11.9}, {4, 8192, 83.6, 39.5},
};

// Thread blocks that were the best of eight grids, one-shot.
struct Grid {
  std::int64_t kilobytes;
  int blocks;
};
constexpr Grid kGrids[] = {{8, 4}, {64, 36}, {128, 72}, {1024, 132}};

Peers peers_of(int cards) {
  Peers peers;
  peers.ranks = cards;
  return peers;
}

TEST(AllReducePlan, TakesTheFasterScheduleAtEverySize) {
  for (const Measured& m : kMeasured) {
    SCOPED_TRACE(::testing::Message() << m.cards << " cards, " << m.kilobytes << " KB");
    const ExchangeSchedule schedule = plan_exchange(peers_of(m.cards), m.kilobytes << 10);
    EXPECT_EQ(schedule.two_shot, m.two_shot < m.one_shot);
  }
}

// Rows that are normalised go by the bytes of all of them: 64 rows of MiniMax-M2 are 384 KB.
TEST(AllReducePlan, RowsGoByTheirBytes) {
  EXPECT_FALSE(plan_row_exchange(peers_of(2), 64, 3072).two_shot);
  EXPECT_FALSE(plan_row_exchange(peers_of(4), 16, 3072).two_shot);
  EXPECT_TRUE(plan_row_exchange(peers_of(4), 64, 3072).two_shot);
}

TEST(AllReducePlan, BlocksAreAboutThoseThatWereBest) {
  for (const Grid& grid : kGrids) {
    const ExchangeSchedule schedule = plan_exchange(peers_of(2), grid.kilobytes << 10);
    EXPECT_NEAR(schedule.blocks, grid.blocks, 0.15 * grid.blocks) << grid.kilobytes << " KB";
  }
}

// What is planned fits the inbox that was made for the largest message.
TEST(AllReducePlan, InboxesHoldWhatIsPlanned) {
  for (const int cards : {2, 4, 8}) {
    const std::int64_t largest = std::int64_t{12} << 20;
    const std::int64_t half = inbox_bytes_for(cards, largest) / 2;
    for (std::int64_t bytes = 1024; bytes <= largest; bytes *= 2) {
      const bool two_shot = plan_exchange(peers_of(cards), bytes).two_shot;
      EXPECT_LE(two_shot ? 2 * bytes : cards * bytes, half) << cards << " cards, " << bytes << " bytes";
    }
  }
}

}  // namespace
}  // namespace vortex::cuda
