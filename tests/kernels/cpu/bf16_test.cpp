// Products and attention on bfloat16 units. Tiles are tested everywhere, on a model of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/bf16_impl.h"
#include "kernels/cpu/bf16_tiles.h"
#include "kernels/cpu/gemm.h"
#include "tests/kernels/cpu/prompt.h"

namespace vortex::cpu {
namespace {

// The tiles of AMX as Intel's manual describes them.
struct ModelTiles {
  inline static unsigned char tiles[8][16][64];
  inline static bool ready = false;

  static void begin() { ready = true; }
  static void end() { ready = false; }
  template <int t>
  static void zero() {
    ASSERT_TRUE(ready);
    std::memset(tiles[t], 0, sizeof(tiles[t]));
  }
  template <int t>
  static void load(const void* from, std::int64_t stride) {
    ASSERT_TRUE(ready);
    for (int row = 0; row < 16; ++row) {
      std::memcpy(tiles[t][row], static_cast<const char*>(from) + row * stride, 64);
    }
  }
  template <int t>
  static void store(void* to, std::int64_t stride) {
    ASSERT_TRUE(ready);
    for (int row = 0; row < 16; ++row) { std::memcpy(static_cast<char*>(to) + row * stride, tiles[t][row], 64); }
  }
  static float element(int t, int row, int i) {
    Bf16 value;
    std::memcpy(&value, &tiles[t][row][2 * i], sizeof(value));
    return bf16_to_float(value);
  }
  template <int c, int a, int b>
  static void multiply() {
    ASSERT_TRUE(ready);
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 16; ++n) {
        float sums[2] = {0, 0};
        for (int k = 0; k < 16; ++k) {
          for (int i = 0; i < 2; ++i) {
            sums[i] = std::fma(element(a, m, 2 * k + i), element(b, k, 2 * n + i), sums[i]);
          }
        }
        float value;
        std::memcpy(&value, &tiles[c][m][4 * n], sizeof(value));
        value += sums[0] + sums[1];
        std::memcpy(&tiles[c][m][4 * n], &value, sizeof(value));
      }
    }
  }
};
using ModelUnit = TileUnit<ModelTiles>;

struct Problem {
  Problem(int row_count, int outputs, int depth)
      : rows(row_count),
        n(outputs),
        k(depth),
        x(random_values(static_cast<size_t>(rows * k), 2)),
        w(random_values(static_cast<size_t>(n * k), 1)),
        panels(static_cast<size_t>(packed_size(n, k))) {
    for (float& value : w) { value = round_to_bf16(value); }
    for (int i = 0; i < n; ++i) { pack_row(&w[static_cast<size_t>(i * k)], i, n, k, panels.data()); }
  }
  PackedMatrix matrix() const { return {panels.data(), n, k, rows % 2 == 0}; }  // any memory gives the same bits

  std::vector<float> run(Unit unit, ThreadPool* pool = nullptr) const {
    std::vector<float> y(static_cast<size_t>(rows * n), NAN);
    std::vector<Bf16> scratch(static_cast<size_t>(bf16_scratch_size(rows, k)));
    gemm_bf16(unit, x.data(), k, rows, matrix(), y.data(), n, scratch.data(), pool);
    return y;
  }

  // On the model of the tiles, in two calls, as two threads would.
  std::vector<float> run_model() const {
    std::vector<float> y(static_cast<size_t>(rows * n), NAN);
    std::vector<Bf16> scratch(static_cast<size_t>(bf16_scratch_size(rows, k)));
    round_rows(x.data(), k, rows, k, scratch.data());
    const std::int64_t count = (n + 15) / 16;
    bf16_panels<ModelUnit>(scratch.data(), rows, matrix(), y.data(), n, 0, count / 2);
    bf16_panels<ModelUnit>(scratch.data(), rows, matrix(), y.data(), n, count / 2, count);
    return y;
  }

  float at(int row, int i) const { return round_to_bf16(x[static_cast<size_t>(row * k + i)]); }
  float weight(int output, int i) const { return w[static_cast<size_t>(output * k + i)]; }

  int rows;
  int n;
  int k;
  std::vector<float> x;
  std::vector<float> w;
  std::vector<Bf16> panels;
};

// Elements past the depth are zeros.
float padded(float value, bool inside) { return inside ? value : 0.0F; }

// The sum that gemm.h says a unit forms.
float documented(Unit unit, const Problem& p, int row, int output) {
  const auto product = [&](int i, float sum) {
    return std::fma(padded(i < p.k ? p.at(row, i) : 0, i < p.k), padded(i < p.k ? p.weight(output, i) : 0, i < p.k),
                    sum);
  };
  float sum = 0;
  if (unit == Unit::kAvx512Bf16) {
    for (int i = 0; i < p.k; i += 2) { sum = product(i, product(i + 1, sum)); }
    return sum;
  }
  for (int block = 0; block < p.k; block += 32) {
    float even = 0;
    float odd = 0;
    for (int i = block; i < block + 32; i += 2) {
      even = product(i, even);
      odd = product(i + 1, odd);
    }
    sum += even + odd;
  }
  return sum;
}

void expect_documented(Unit unit, const Problem& p, const std::vector<float>& y) {
  for (int row = 0; row < p.rows; ++row) {
    for (int output = 0; output < p.n; ++output) {
      ASSERT_EQ(y[static_cast<size_t>(row * p.n + output)], documented(unit, p, row, output))
          << unit_name(unit) << " row " << row << " of " << p.rows << ", output " << output << " of " << p.n
          << ", depth " << p.k;
    }
  }
}

// gemm.h's bound on how far a unit is from float32.
void expect_near_float32(const Problem& p, const std::vector<float>& y) {
  std::vector<float> exact(y.size());
  gemm(p.x.data(), p.k, p.rows, p.matrix(), exact.data(), p.n);
  const double share = std::ldexp(1.0, -8) + std::ldexp(1.0, -22) * p.k;
  for (int row = 0; row < p.rows; ++row) {
    for (int output = 0; output < p.n; ++output) {
      double size = 0;
      for (int i = 0; i < p.k; ++i) {
        size += std::abs(static_cast<double>(p.x[static_cast<size_t>(row * p.k + i)]) *
                         static_cast<double>(p.weight(output, i)));
      }
      const auto place = static_cast<size_t>(row * p.n + output);
      ASSERT_NEAR(static_cast<double>(y[place]), static_cast<double>(exact[place]), share * size)
          << "row " << row << " of " << p.rows << ", output " << output << " of " << p.n << ", depth " << p.k;
    }
  }
}

std::vector<Unit> units() {
  std::vector<Unit> all;
  for (Unit unit : {Unit::kAvx512Bf16, Unit::kAmxBf16}) {
    if (unit_supported(unit)) { all.push_back(unit); }
  }
  return all;
}

// Every number of rows from 1 to 70, with widths and depths that are no multiples of anything.
std::vector<Problem> odd_problems() {
  std::vector<Problem> problems;
  for (int rows = 1; rows <= 70; ++rows) {
    const int n = 1 + rows * 29 % 150;
    const int k = 1 + rows * 37 % 131;
    problems.emplace_back(rows, n, k);
  }
  problems.emplace_back(3, 1, 1);
  problems.emplace_back(33, 32, 256);
  problems.emplace_back(16, 40, 1030);
  return problems;
}

TEST(Bf16Tiles, FormTheDocumentedSums) {
  for (const Problem& p : odd_problems()) { expect_documented(Unit::kAmxBf16, p, p.run_model()); }
}

TEST(Bf16Gemm, FormsTheDocumentedSumsOnEveryUnit) {
  if (units().empty()) { GTEST_SKIP() << "this processor has no bfloat16 unit"; }
  for (const Problem& p : odd_problems()) {
    for (Unit unit : units()) { expect_documented(unit, p, p.run(unit)); }
  }
}

TEST(Bf16Gemm, StaysWithinItsBoundOfFloat32) {
  for (const Problem& p : odd_problems()) {
    expect_near_float32(p, p.run_model());
    for (Unit unit : units()) { expect_near_float32(p, p.run(unit)); }
  }
}

TEST(Bf16Gemm, RowsAndThreadsDoNotChangeABit) {
  for (Unit unit : units()) {
    const Problem all(70, 100, 75);
    const std::vector<float> expected = all.run(unit);
    for (int threads : {2, 3, 9}) {
      ThreadPool pool(threads);
      EXPECT_EQ(all.run(unit, &pool), expected) << unit_name(unit) << ", " << threads << " threads";
    }
    for (int rows : {1, 2, 5, 13, 16, 17, 33}) {
      Problem some(rows, 100, 75);
      const int first = 70 - rows;
      some.x.assign(all.x.begin() + first * 75, all.x.end());
      const std::vector<float> y = some.run(unit);
      EXPECT_TRUE(std::equal(y.begin(), y.end(), expected.begin() + first * 100)) << unit_name(unit) << ", " << rows;
    }
  }
}

TEST(Bf16Gemm, HonoursStridesAndWritesNothingElse) {
  for (Unit unit : units()) {
    const Problem p(19, 40, 24);
    const std::vector<float> expected = p.run(unit);
    std::vector<float> x(19 * 30, NAN);
    for (size_t i = 0; i < p.x.size(); ++i) { x[i / 24 * 30 + i % 24] = p.x[i]; }
    std::vector<float> y(19 * 47, -7.0F);
    std::vector<Bf16> scratch(static_cast<size_t>(bf16_scratch_size(19, 24)));
    gemm_bf16(unit, x.data(), 30, 19, p.matrix(), y.data(), 47, scratch.data());
    for (size_t i = 0; i < y.size(); ++i) {
      ASSERT_EQ(y[i], i % 47 < 40 ? expected[i / 47 * 40 + i % 47] : -7.0F) << i;
    }
  }
}

TEST(Bf16Gemm, KeepsNansAndInfinitiesInTheirRows) {
  for (Unit unit : units()) {
    Problem p(18, 33, 40);
    p.x[3 * 40 + 7] = NAN;
    p.x[17 * 40] = INFINITY;
    const std::vector<float> y = p.run(unit);
    for (int row = 0; row < p.rows; ++row) {
      for (int output = 0; output < p.n; ++output) {
        EXPECT_EQ(std::isfinite(y[static_cast<size_t>(row * p.n + output)]), row != 3 && row != 17) << row;
      }
    }
  }
}

std::vector<float> attend(const Prompt& prompt, Unit unit, ThreadPool* pool = nullptr, int first_query = 0) {
  std::vector<float> out;
  std::vector<float> scratch;
  prefill_attention_bf16(unit, prompt.args(out, scratch, first_query), pool);
  return out;
}

std::vector<float> attend_on_model(const Prompt& prompt) {
  std::vector<float> out;
  std::vector<float> scratch;
  const PrefillAttentionArgs call = prompt.args(out, scratch);
  pack_kv(call, 0, static_cast<std::int64_t>(prompt.kv_heads) * padded_depth(prompt.tokens) / kDepthStep);
  const int step = prefill_tile_tokens(prompt.group);
  for (int head = 0; head < prompt.kv_heads; ++head) {
    for (int first = 0; first < prompt.tokens; first += step) {
      attend_bf16<ModelUnit>(call, head, first, std::min(first + step, prompt.tokens));
    }
  }
  return out;
}

const Prompt kPrompts[] = {{1, 2, 2, 32},   {15, 2, 2, 32},  {33, 1, 3, 16},  {64, 2, 2, 48}, {127, 1, 2, 64},
                           {129, 2, 1, 32}, {200, 1, 9, 16}, {40, 1, 64, 16}, {70, 2, 1, 256}};

// Scores move by at most 2^-8 of sum |q k| <= 2 * 2 * head_dim / sqrt(head_dim) / 4 on average, weights by as much and
// by 2^-8; values are at most 2.
void expect_near_float32(const Prompt& prompt, const std::vector<float>& out) {
  const std::vector<float> exact = prompt.run_float32();
  const double tolerance = 2.0 * (std::sqrt(static_cast<double>(prompt.head_dim)) + 2) / 256;
  double squares = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double error = static_cast<double>(out[i]) - static_cast<double>(exact[i]);
    ASSERT_LE(std::abs(error), tolerance) << i << " of " << prompt.tokens << " tokens";
    squares += error * error;
  }
  EXPECT_LE(std::sqrt(squares / static_cast<double>(out.size())), 0.01) << prompt.tokens;
}

TEST(Bf16Tiles, AttendAsFloat32Does) {
  for (const Prompt& prompt : kPrompts) { expect_near_float32(prompt, attend_on_model(prompt)); }
}

TEST(Bf16Attention, IsNearFloat32OnEveryUnit) {
  if (units().empty()) { GTEST_SKIP() << "this processor has no bfloat16 unit"; }
  for (const Prompt& prompt : kPrompts) {
    for (Unit unit : units()) { expect_near_float32(prompt, attend(prompt, unit)); }
  }
}

TEST(Bf16Attention, ThreadsAndSkippedQueriesDoNotChangeABit) {
  const Prompt prompt(150, 2, 2, 32);
  for (Unit unit : units()) {
    const std::vector<float> expected = attend(prompt, unit);
    for (int threads : {2, 3}) {
      ThreadPool pool(threads);
      EXPECT_EQ(attend(prompt, unit, &pool), expected) << threads;
    }
    for (int first : {1, 37, 149}) {
      const std::vector<float> some = attend(prompt, unit, nullptr, first);
      const auto skipped = static_cast<size_t>(first * 2 * 2 * 32);
      for (size_t i = 0; i < some.size(); ++i) { ASSERT_EQ(some[i], i < skipped ? -7.0F : expected[i]) << i; }
    }
  }
}

TEST(Bf16Attention, SurvivesLargeLogits) {
  const Prompt prompt(100, 1, 2, 16, 200.0F);
  for (const float value : attend_on_model(prompt)) { ASSERT_TRUE(std::isfinite(value)); }
  for (Unit unit : units()) {
    for (const float value : attend(prompt, unit)) { ASSERT_TRUE(std::isfinite(value)); }
  }
}

TEST(Unit, FloatingPointIsEverywhereAndTheBestIsSupported) {
  EXPECT_TRUE(unit_supported(Unit::kFloat32));
  const std::optional<Unit> best = best_bf16_unit();
  EXPECT_EQ(best.has_value(), !units().empty());
  if (best) { EXPECT_EQ(*best, units().back()); }
}

}  // namespace
}  // namespace vortex::cpu
