#include "kernels/cpu/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"

namespace vortex::cpu {
namespace {

struct Shape {
  int kv_heads, group, head_dim, value_dim, block;
};

constexpr Bf16 kNaN = 0x7fff;

// Requests of the given lengths with scattered pages; all memory outside their tokens is NaN.
struct World {
  Shape shape;
  std::vector<std::int32_t> lengths;
  int max_blocks = 0;
  std::vector<std::int32_t> table;
  std::vector<Bf16> k, v;
  std::vector<float> q, out;
  std::vector<std::int32_t> selected, counts;

  World(Shape s, std::vector<std::int32_t> tokens, std::uint64_t seed) : shape(s), lengths(std::move(tokens)) {
    Rng rng(seed);
    int used = 0;
    for (const int length : lengths) {
      max_blocks = std::max(max_blocks, blocks(length) + 2);
      used += blocks(length);
    }
    std::vector<std::int32_t> ids(static_cast<std::size_t>(used) + 3);
    std::iota(ids.begin(), ids.end(), 0);
    for (std::size_t i = ids.size() - 1; i > 0; --i) { std::swap(ids[i], ids[rng.below(i + 1)]); }
    table.assign(lengths.size() * static_cast<std::size_t>(max_blocks), 0x3fffffff);
    const std::size_t page = static_cast<std::size_t>(s.kv_heads * s.block);
    k.assign(ids.size() * page * static_cast<std::size_t>(s.head_dim), kNaN);
    v.assign(ids.size() * page * static_cast<std::size_t>(s.value_dim), kNaN);
    std::size_t next = 0;
    for (std::size_t r = 0; r < lengths.size(); ++r) {
      for (int b = 0; b < blocks(lengths[r]); ++b) {
        table[r * static_cast<std::size_t>(max_blocks) + static_cast<std::size_t>(b)] = ids[next++];
      }
      for (int t = 0; t < lengths[r]; ++t) {
        for (int h = 0; h < s.kv_heads; ++h) {
          for (int d = 0; d < s.head_dim; ++d) {
            k[k_place(static_cast<int>(r), h, t) + static_cast<std::size_t>(d)] = noise(rng);
          }
          for (int d = 0; d < s.value_dim; ++d) {
            v[v_place(static_cast<int>(r), h, t) + static_cast<std::size_t>(d)] = noise(rng);
          }
        }
      }
    }
    const std::size_t heads = lengths.size() * static_cast<std::size_t>(s.kv_heads * s.group);
    q.resize(heads * static_cast<std::size_t>(s.head_dim));
    for (float& x : q) { x = static_cast<float>(rng.uniform() * 4 - 2); }
    out.assign(heads * static_cast<std::size_t>(s.value_dim), -7.0F);
  }

  static Bf16 noise(Rng& rng) { return float_to_bf16(static_cast<float>(rng.uniform() * 2 - 1)); }
  int blocks(int length) const { return (length + shape.block - 1) / shape.block; }
  std::size_t token(int request, int head, int t) const {
    const auto slot = static_cast<std::size_t>(request * max_blocks + t / shape.block);
    return (static_cast<std::size_t>(table[slot]) * static_cast<std::size_t>(shape.kv_heads) +
            static_cast<std::size_t>(head)) *
               static_cast<std::size_t>(shape.block) +
           static_cast<std::size_t>(t % shape.block);
  }
  std::size_t k_place(int r, int h, int t) const { return token(r, h, t) * static_cast<std::size_t>(shape.head_dim); }
  std::size_t v_place(int r, int h, int t) const { return token(r, h, t) * static_cast<std::size_t>(shape.value_dim); }

  // Chooses every block with the given probability, always the last; probability 1 chooses all.
  void choose(double probability, std::uint64_t seed) {
    Rng rng(seed);
    selected.clear();
    counts.clear();
    for (std::size_t row = 0; row < lengths.size() * static_cast<std::size_t>(shape.kv_heads); ++row) {
      const int n = blocks(lengths[row / static_cast<std::size_t>(shape.kv_heads)]);
      std::vector<std::int32_t> mine;
      for (int b = 0; b < n; ++b) {
        if (b == n - 1 || rng.uniform() < probability) { mine.push_back(b); }
      }
      counts.push_back(static_cast<std::int32_t>(mine.size()));
      mine.resize(static_cast<std::size_t>(max_blocks), 0x3fffffff);
      selected.insert(selected.end(), mine.begin(), mine.end());
    }
  }

  AttentionArgs args() {
    AttentionArgs a;
    a.q = q.data();
    a.out = out.data();
    a.k = k.data();
    a.v = v.data();
    a.block_table = table.data();
    a.max_blocks = max_blocks;
    a.seq_lens = lengths.data();
    if (!counts.empty()) {
      a.selected = selected.data();
      a.selected_stride = max_blocks;
      a.selected_counts = counts.data();
    }
    a.requests = static_cast<int>(lengths.size());
    a.kv_heads = shape.kv_heads;
    a.group = shape.group;
    a.head_dim = shape.head_dim;
    a.value_dim = shape.value_dim;
    a.block_size = shape.block;
    a.scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
    return a;
  }

  std::vector<float> run(ThreadPool* pool = nullptr, Isa isa = best_isa()) {
    std::fill(out.begin(), out.end(), -7.0F);
    paged_attention(args(), pool, isa);
    return out;
  }

  // Plain attention in float64 over the selected (or all) tokens.
  std::vector<double> expected() const {
    std::vector<double> result;
    for (int row = 0; row < static_cast<int>(lengths.size()) * shape.kv_heads; ++row) {
      const int request = row / shape.kv_heads;
      const std::vector<int> tokens = attended(row);
      for (int g = 0; g < shape.group; ++g) {
        const auto head = static_cast<std::size_t>(row * shape.group + g);
        const auto one = attend(request, row % shape.kv_heads, head, tokens);
        result.insert(result.end(), one.begin(), one.end());
      }
    }
    return result;
  }

  std::vector<int> attended(int row) const {
    const int length = lengths[static_cast<std::size_t>(row / shape.kv_heads)];
    std::vector<bool> in(static_cast<std::size_t>(blocks(length)), counts.empty());
    for (int i = 0; !counts.empty() && i < counts[static_cast<std::size_t>(row)]; ++i) {
      in[static_cast<std::size_t>(selected[static_cast<std::size_t>(row * max_blocks + i)])] = true;
    }
    std::vector<int> tokens;
    for (int t = 0; t < length; ++t) {
      if (in[static_cast<std::size_t>(t / shape.block)]) { tokens.push_back(t); }
    }
    return tokens;
  }

  std::vector<double> attend(int request, int kv_head, std::size_t head, const std::vector<int>& tokens) const {
    std::vector<double> logits;
    for (const int t : tokens) {
      double dot = 0;
      for (int d = 0; d < shape.head_dim; ++d) {
        dot += static_cast<double>(q[head * static_cast<std::size_t>(shape.head_dim) + static_cast<std::size_t>(d)]) *
               static_cast<double>(bf16_to_float(k[k_place(request, kv_head, t) + static_cast<std::size_t>(d)]));
      }
      logits.push_back(dot / std::sqrt(shape.head_dim));
    }
    std::vector<double> result(static_cast<std::size_t>(shape.value_dim), 0.0);
    double total = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const double weight = std::exp(logits[i]);
      total += weight;
      for (std::size_t d = 0; d < result.size(); ++d) {
        result[d] += weight * static_cast<double>(bf16_to_float(v[v_place(request, kv_head, tokens[i]) + d]));
      }
    }
    for (double& x : result) { x = tokens.empty() ? 0.0 : x / total; }
    return result;
  }
};

const std::vector<Shape> kShapes = {{4, 2, 64, 64, 16}, {2, 1, 16, 16, 8},  {1, 5, 40, 24, 16}, {2, 3, 128, 128, 32},
                                    {1, 20, 72, 64, 1}, {3, 4, 33, 31, 64}, {2, 2, 64, 64, 4}};
const std::vector<std::int32_t> kLengths = {0, 1, 15, 16, 17, 200, 333};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Attention, AgreesWithFloat64AndIgnoresPoison) {
  for (std::size_t i = 0; i < kShapes.size(); ++i) {
    for (const double share : {-1.0, 0.0, 0.3}) {
      World world(kShapes[i], kLengths, i);
      if (share >= 0) { world.choose(share, i + 100); }
      const std::vector<float> out = world.run();
      const std::vector<double> expected = world.expected();
      ASSERT_EQ(out.size(), expected.size());
      for (std::size_t j = 0; j < out.size(); ++j) {
        ASSERT_NEAR(out[j], expected[j], 1e-5) << "shape " << i << " share " << share << " element " << j;
      }
    }
  }
}

TEST(Attention, SelectingEverythingGivesTheBitsOfDense) {
  for (std::size_t i = 0; i < kShapes.size(); ++i) {
    World world(kShapes[i], kLengths, i);
    const std::vector<float> dense = world.run();
    world.choose(1.0, 1);
    EXPECT_TRUE(same_bits(world.run(), dense)) << i;
  }
}

TEST(Attention, InstructionSetsThreadsAndRunsGiveTheSameBits) {
  ThreadPool pool(4);
  for (std::size_t i = 0; i < kShapes.size(); ++i) {
    World world(kShapes[i], kLengths, i);
    world.choose(0.4, 5);
    const std::vector<float> first = world.run(nullptr, Isa::kScalar);
    for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
      if (isa_supported(isa)) {
        EXPECT_TRUE(same_bits(world.run(nullptr, isa), first)) << i << " " << isa_name(isa);
        EXPECT_TRUE(same_bits(world.run(&pool, isa), first)) << i << " " << isa_name(isa);
      }
    }
  }
}

TEST(Attention, ARowDoesNotDependOnItsBatch) {
  World both(kShapes[0], {100, 77}, 3);
  const std::vector<float> together = both.run();
  AttentionArgs alone = both.args();
  alone.requests = 1;
  std::vector<float> out(together.size(), 0.0F);
  alone.out = out.data();
  paged_attention(alone);
  out.resize(together.size() / 2);
  EXPECT_TRUE(same_bits(out, std::vector<float>(together.begin(), together.begin() + std::ssize(out))));
}

// A thread takes rows of equal length together; with a thread a row, each is alone.
TEST(Attention, RowsThatAreTakenTogetherHaveTheBitsOfEachAlone) {
  const Shape shape{12, 2, 72, 64, 16};
  const std::vector<std::int32_t> lengths = {64, 50, 333, 333};
  ThreadPool one_a_row(static_cast<int>(lengths.size()) * shape.kv_heads);
  for (const double share : {-1.0, 0.0, 0.3}) {
    World world(shape, lengths, 8);
    if (share >= 0) { world.choose(share, 2); }
    const std::vector<float> alone = world.run(&one_a_row);
    EXPECT_TRUE(same_bits(world.run(), alone)) << share;
  }
}

// Where there are more threads than rows, the heads of a row are shared out.
TEST(Attention, HeadsThatAreSharedOutGiveTheSameBits) {
  for (const Shape& shape : {Shape{1, 20, 72, 64, 16}, Shape{1, 33, 48, 32, 16}, Shape{1, 7, 64, 64, 16}}) {
    World world(shape, {333}, 6);
    world.choose(0.4, 5);
    const std::vector<float> alone = world.run();
    for (const int threads : {2, 3, 8}) {
      ThreadPool pool(threads);
      EXPECT_TRUE(same_bits(world.run(&pool), alone)) << shape.group << " heads, " << threads << " threads";
    }
  }
}

TEST(Attention, LatentKeysServeAsValues) {
  const Shape shape{1, 4, 48, 32, 16};
  World world(shape, {70}, 9);
  AttentionArgs args = world.args();
  args.v = args.k;
  args.value_stride = shape.head_dim;
  paged_attention(args);
  const std::vector<float> shared = world.out;
  for (int t = 0; t < 70; ++t) {
    std::copy_n(world.k.begin() + static_cast<std::ptrdiff_t>(world.k_place(0, 0, t)), shape.value_dim,
                world.v.begin() + static_cast<std::ptrdiff_t>(world.v_place(0, 0, t)));
  }
  EXPECT_TRUE(same_bits(world.run(), shared));
}

TEST(Attention, LogitsFarApartStayFinite) {
  World world(kShapes[0], {64}, 4);
  for (float& x : world.q) { x *= 1000.0F; }
  for (const float x : world.run()) {
    ASSERT_TRUE(std::isfinite(x));
    ASSERT_LE(std::abs(x), 1.0F);
  }
}

}  // namespace
}  // namespace vortex::cpu
