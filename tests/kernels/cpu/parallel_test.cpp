#include "kernels/cpu/parallel.h"

#include <gtest/gtest.h>

#include <vector>

namespace vortex::cpu {
namespace {

TEST(ThreadPool, EveryItemRunsOnceOnTheWorkerOfItsRange) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 100}) {
      std::vector<int> times(static_cast<std::size_t>(count), 0);
      std::vector<int> worker_of(static_cast<std::size_t>(count), -1);
      pool.run(
          count,
          [](void* context, std::int64_t begin, std::int64_t end, int worker) {
            auto& lists = *static_cast<std::pair<std::vector<int>*, std::vector<int>*>*>(context);
            for (std::int64_t i = begin; i < end; ++i) {
              ++(*lists.first)[static_cast<std::size_t>(i)];
              (*lists.second)[static_cast<std::size_t>(i)] = worker;
            }
          },
          std::make_unique<std::pair<std::vector<int>*, std::vector<int>*>>(&times, &worker_of).get());
      for (std::int64_t i = 0; i < count; ++i) {
        EXPECT_EQ(times[static_cast<std::size_t>(i)], 1);
        const Range range = static_range(count, worker_of[static_cast<std::size_t>(i)], threads);
        EXPECT_TRUE(range.begin <= i && i < range.end);
      }
    }
  }
}

TEST(ThreadPool, ManyRoundsLoseNothing) {
  ThreadPool pool(3);
  std::vector<std::int64_t> sums(3, 0);
  for (int round = 0; round < 5000; ++round) {
    parallel_for(&pool, 30, [&](std::int64_t begin, std::int64_t end, int worker) {
      sums[static_cast<std::size_t>(worker)] += end - begin;
    });
  }
  EXPECT_EQ(sums[0] + sums[1] + sums[2], 150000);
}

TEST(ParallelFor, WithoutAPoolRunsHere) {
  std::int64_t seen = 0;
  parallel_for(nullptr, 5, [&](std::int64_t begin, std::int64_t end, int worker) {
    seen += end - begin;
    EXPECT_EQ(worker, 0);
  });
  parallel_for(nullptr, 0, [&](std::int64_t, std::int64_t, int) { seen = -1; });
  EXPECT_EQ(seen, 5);
}

}  // namespace
}  // namespace vortex::cpu
