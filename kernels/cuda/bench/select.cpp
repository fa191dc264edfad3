#include "kernels/cuda/select.h"

#include "kernels/cuda/bench/bench.h"

namespace vortex::cuda {
namespace {

constexpr int kHeads = 8;
constexpr int kBlock = 16;
constexpr int kSets = 4;

struct Shape {
  int requests;
  int length;
  int budget;  // blocks, reserved ones included
};

std::string describe(const Shape& s) {
  return std::to_string(s.requests * kHeads) + " rows x " + std::to_string(s.length / kBlock) + " k " +
         std::to_string(s.budget);
}

struct Problem {
  Shape shape;
  int max_blocks;
  std::size_t rows;
  DeviceArray<std::int32_t> lengths, budgets, blocks, counts;

  explicit Problem(const Shape& s)
      : shape(s), max_blocks(s.length / kBlock), rows(static_cast<std::size_t>(s.requests * kHeads)) {
    lengths = DeviceArray<std::int32_t>(std::vector<std::int32_t>(static_cast<std::size_t>(s.requests), s.length));
    budgets = DeviceArray<std::int32_t>(std::vector<std::int32_t>(static_cast<std::size_t>(s.requests), s.budget));
    blocks = DeviceArray<std::int32_t>(rows * static_cast<std::size_t>(s.budget));
    counts = DeviceArray<std::int32_t>(rows);
  }
  SelectionRule rule() const { return {lengths.data(), budgets.data(), shape.requests, kHeads, kBlock, 1, 2}; }
  SelectionOutput output() const { return {blocks.data(), counts.data(), shape.budget}; }
  double output_bytes() const { return 4.0 * static_cast<double>(rows) * (shape.budget + 1); }
};

void bench_select_blocks(Bench& bench, const Shape& shape, ScoreType type) {
  const Problem p(shape);
  const double score_bytes = static_cast<double>(p.rows) * p.max_blocks * (type == ScoreType::bf16 ? 2 : 4);
  const DeviceArray<unsigned char> bits = random_bytes(p.rows * static_cast<std::size_t>(p.max_blocks) * 2);
  std::vector<float> wide(p.rows * static_cast<std::size_t>(p.max_blocks));
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (float& x : wide) { x = normal(random); }
  const DeviceArray<float> floats(wide);
  SelectBlocks a;
  a.scores = type == ScoreType::bf16 ? static_cast<const void*>(bits.data()) : floats.data();
  a.type = type;
  a.max_blocks = p.max_blocks;
  bench.measure({"select", describe(shape), type == ScoreType::bf16 ? "bf16" : "fp32", score_bytes + p.output_bytes()},
                1, [&](int, cudaStream_t stream) { return select_blocks(a, p.rule(), p.output(), stream); });
}

void bench_score_and_select(Bench& bench, const Shape& shape) {
  const Problem p(shape);
  constexpr int kDim = 128;
  constexpr int kGroup = 2;
  const int num_pages = shape.requests * p.max_blocks;
  const std::size_t centroid_bytes = static_cast<std::size_t>(num_pages) * kHeads * kDim * 2;
  std::mt19937 random(5);
  const DeviceArray<std::int32_t> pages(random_distinct(num_pages, num_pages, random));
  const DeviceArray<unsigned char> q = random_bytes(p.rows * kGroup * kDim * 2);
  std::vector<DeviceArray<unsigned char>> centroids;
  const int sets = centroid_bytes > (std::size_t{256} << 20) ? 1 : kSets;
  for (int i = 0; i < sets; ++i) { centroids.push_back(random_bytes(centroid_bytes)); }
  const double bytes = static_cast<double>(centroid_bytes + q.size() + pages.bytes()) + p.output_bytes();
  bench.measure({"score_select", describe(shape), "block top-k", bytes}, sets, [&](int set, cudaStream_t stream) {
    const ScoreAndSelect a{reinterpret_cast<const Bf16*>(q.data()),
                           reinterpret_cast<const Bf16*>(centroids[static_cast<std::size_t>(set)].data()),
                           pages.data(),
                           p.max_blocks,
                           kHeads * kGroup,
                           kDim,
                           true};
    return score_and_select(a, p.rule(), p.output(), stream);
  });
}

}  // namespace

void bench_select(Bench& bench) {
  if (bench.wants("select")) {
    for (const Shape& s : {Shape{64, 16384, 35}, Shape{64, 16384, 67}, Shape{64, 32768, 67}, Shape{128, 16384, 67},
                           Shape{1, 16384, 67}}) {
      bench_select_blocks(bench, s, ScoreType::bf16);
      bench_select_blocks(bench, s, ScoreType::fp32);
    }
  }
  if (bench.wants("score_select")) {
    for (const Shape& s : {Shape{64, 16384, 67}, Shape{32, 16384, 67}, Shape{128, 16384, 67}, Shape{64, 32768, 67},
                           Shape{8, 16384, 67}, Shape{1, 16384, 67}}) {
      bench_score_and_select(bench, s);
    }
  }
}

}  // namespace vortex::cuda
