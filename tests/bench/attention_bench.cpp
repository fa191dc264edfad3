// Achieved bandwidth of paged decode attention beside plain reads: of consecutive memory, and of the same scattered
// pages (2 KiB pieces), which is what attention could reach at best. On one thread and on all.
// usage: attention_bench [threads]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/attention.h"

namespace {

using vortex::cpu::Bf16;

constexpr int kContext = 4096;
constexpr int kRequests = 32;  // 128 MiB of K and V: more than the last-level cache
constexpr int kKvHeads = 4;
constexpr int kGroup = 2;
constexpr int kHeadDim = 64;
constexpr int kBlock = 16;
constexpr int kBlocks = kContext / kBlock;
constexpr int kRows = kRequests * kKvHeads;

template <typename Function>
double best_seconds(Function&& function) {
  double best = 1e9;
  for (int round = 0; round < 7; ++round) {
    const auto start = std::chrono::steady_clock::now();
    function();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

struct Cache {
  std::vector<Bf16> k;
  std::vector<Bf16> v;
  std::vector<std::int32_t> table;
  std::vector<std::int32_t> lengths;
  std::vector<float> q;
  std::vector<float> out;
};

Cache make_cache() {
  Cache cache;
  vortex::Rng rng(1);
  const auto elements = static_cast<std::size_t>(kRequests) * kKvHeads * kContext * kHeadDim;
  cache.k.resize(elements);
  cache.v.resize(elements);
  for (std::size_t i = 0; i < elements; ++i) {
    cache.k[i] = vortex::cpu::float_to_bf16(static_cast<float>(rng.uniform() - 0.5));
    cache.v[i] = vortex::cpu::float_to_bf16(static_cast<float>(rng.uniform() - 0.5));
  }
  cache.table.resize(static_cast<std::size_t>(kRequests) * kBlocks);
  std::iota(cache.table.begin(), cache.table.end(), 0);
  for (std::size_t i = cache.table.size() - 1; i > 0; --i) { std::swap(cache.table[i], cache.table[rng.below(i + 1)]); }
  cache.lengths.assign(kRequests, kContext);
  cache.q.assign(static_cast<std::size_t>(kRows) * kGroup * kHeadDim, 0.1F);
  cache.out.resize(cache.q.size());
  return cache;
}

std::vector<std::int32_t> choose_blocks(int count) {
  vortex::Rng rng(2);
  std::vector<std::int32_t> chosen;
  for (int row = 0; row < kRows; ++row) {
    std::vector<std::int32_t> all(kBlocks);
    std::iota(all.begin(), all.end(), 0);
    for (int i = 0; i < count; ++i) {
      std::swap(all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(rng.between(i, kBlocks - 1))]);
    }
    std::sort(all.begin(), all.begin() + count);
    chosen.insert(chosen.end(), all.begin(), all.begin() + count);
  }
  return chosen;
}

std::atomic<std::uint64_t> sink;

// Reads `pieces` of one page and kv head each: consecutive ones, or those that the page table names.
double read_all(const Cache& cache, bool scattered, vortex::cpu::ThreadPool& pool) {
  constexpr std::int64_t kPiece = kBlock * kHeadDim;
  const auto pieces = static_cast<std::int64_t>(cache.k.size()) / kPiece;
  return best_seconds([&] {
    vortex::cpu::parallel_for(&pool, pieces, [&](std::int64_t begin, std::int64_t end, int) {
      std::uint64_t sums[8] = {};
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t row = i / kBlocks;  // as attention goes: all pages of a kv head, then the next head
        const std::int64_t slot = row / kKvHeads * kBlocks + i % kBlocks;
        const std::int64_t page = cache.table[static_cast<std::size_t>(slot)];
        const std::int64_t piece = scattered ? page * kKvHeads + row % kKvHeads : i;
        const auto* words = reinterpret_cast<const std::uint64_t*>(cache.k.data() + piece * kPiece);
        for (int w = 0; w < kPiece / 4; ++w) { sums[w % 8] += words[w]; }
      }
      sink += std::accumulate(std::begin(sums), std::end(sums), std::uint64_t{0});
    });
  });
}

void report(const char* what, int threads, double bytes, double seconds, double plain) {
  const double rate = bytes / seconds * 1e-9;
  std::printf("%-28s %d thread(s): %8.2f ms %8.2f GB/s  %5.1f %% of the scattered read\n", what, threads, seconds * 1e3,
              rate, 100.0 * rate / plain);
}

void measure(Cache& cache, int threads) {
  vortex::cpu::ThreadPool pool(threads);
  const double bytes = static_cast<double>(cache.k.size()) * sizeof(Bf16);
  const double scattered = read_all(cache, true, pool);
  const double plain = bytes / scattered * 1e-9;
  report("plain read, consecutive", threads, bytes, read_all(cache, false, pool), plain);
  report("plain read, scattered pages", threads, bytes, scattered, plain);

  vortex::cpu::AttentionArgs args;
  args.q = cache.q.data();
  args.out = cache.out.data();
  args.k = cache.k.data();
  args.v = cache.v.data();
  args.block_table = cache.table.data();
  args.max_blocks = kBlocks;
  args.seq_lens = cache.lengths.data();
  args.requests = kRequests;
  args.kv_heads = kKvHeads;
  args.group = kGroup;
  args.head_dim = kHeadDim;
  args.block_size = kBlock;
  args.scale = 0.125F;
  report("dense attention, 4K", threads, 2 * bytes, best_seconds([&] { paged_attention(args, &pool); }), plain);

  constexpr int kChosen = kBlocks / 8;
  const std::vector<std::int32_t> chosen = choose_blocks(kChosen);
  const std::vector<std::int32_t> counts(kRows, kChosen);
  args.selected = chosen.data();
  args.selected_stride = kChosen;
  args.selected_counts = counts.data();
  report("1/8 of the pages", threads, 2 * bytes / 8, best_seconds([&] { paged_attention(args, &pool); }), plain);
  args.requests = 4;  // stays in the last-level cache
  report("1/8 of the pages, in cache", threads, 2 * bytes / 64, best_seconds([&] { paged_attention(args, &pool); }),
         plain);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : static_cast<int>(std::thread::hardware_concurrency());
  std::printf("kernels: %s\n", vortex::cpu::isa_name(vortex::cpu::best_isa()));
  Cache cache = make_cache();
  measure(cache, 1);
  if (threads > 1) { measure(cache, threads); }
  return 0;
}
