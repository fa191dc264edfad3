#include "evals/ladder/memory_read.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "kernels/cpu/parallel.h"

namespace vortex::evals {
namespace {

constexpr int64_t kWords = (int64_t{256} << 20) / static_cast<int64_t>(sizeof(uint64_t));

// Eight running sums let the processor have many loads under way.
uint64_t sum_of(const uint64_t* words, int64_t count) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i + 8 <= count; i += 8) {
    for (int lane = 0; lane < 8; ++lane) { sums[lane] += words[i + lane]; }
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) { total += sum; }
  return total;
}

}  // namespace

double memory_read_bandwidth(int threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  cpu::ThreadPool pool(threads);
  std::vector<uint64_t> words(static_cast<size_t>(kWords), 1);
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  double best = 0;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
    cpu::parallel_for(&pool, kWords, [&](int64_t from, int64_t to, int worker) {
      sums[static_cast<size_t>(worker)] += sum_of(words.data() + from, to - from);
    });
    best = std::max(best, static_cast<double>(kWords) * sizeof(uint64_t) / since(start));
  } while (since(begin) < seconds);
  // The sums are used, so the reads cannot be optimised away.
  return sums[0] == 0 ? 0 : best;
}

}  // namespace vortex::evals
