// What surrounds latent attention: the append, and the products of each head.
#include <cstring>

#include "tests/kernels/cuda/latent_support.h"

namespace vortex::cuda {
namespace {

using LatentAppendTest = DeviceTest;
using HeadProductsTest = DeviceTest;

std::vector<float2> random_turns(int positions, int half, Random& random) {
  std::vector<float2> table;
  for (int i = 0; i < positions * half; ++i) {
    const float angle = normal(random, 3.0F);
    table.push_back(make_float2(std::cos(angle), std::sin(angle)));
  }
  return table;
}

// Elements of `from`, rotated to `position`.
std::vector<double> rotated(const Bf16* from, int dim, bool interleaved, const std::vector<float2>& table,
                            int position) {
  std::vector<double> out(static_cast<std::size_t>(dim));
  for (int i = 0; i < dim / 2; ++i) {
    const float2 turn = table[static_cast<std::size_t>(position * (dim / 2) + i)];
    const int low = interleaved ? 2 * i : i;
    const int high = interleaved ? 2 * i + 1 : i + dim / 2;
    const double a = value(from[low]);
    const double b = value(from[high]);
    out[static_cast<std::size_t>(low)] = a * static_cast<double>(turn.x) - b * static_cast<double>(turn.y);
    out[static_cast<std::size_t>(high)] = b * static_cast<double>(turn.x) + a * static_cast<double>(turn.y);
  }
  return out;
}

std::vector<double> normed(const Bf16* from, const std::vector<Bf16>& weight, double epsilon) {
  double squares = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) { squares += value(from[i]) * value(from[i]); }
  const double inverse = 1 / std::sqrt(squares / static_cast<double>(weight.size()) + epsilon);
  std::vector<double> out;
  for (std::size_t i = 0; i < weight.size(); ++i) { out.push_back(value(from[i]) * inverse * value(weight[i])); }
  return out;
}

// One rounding to bf16, and what float32 adds.
void expect_rounded(const Bf16* found, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(value(found[i]), expected[i], std::abs(expected[i]) / 250 + 1e-5) << "element " << i;
  }
}

struct AppendCase {
  LatentGeometry geometry;
  int q_rank;
  int block;
  bool interleaved;
  bool prompt;
};

void expect_appended(const AppendCase& c, Random& random) {
  constexpr double kEpsilon = 1e-2;  // large enough to show
  const std::vector<std::int32_t> lengths = {1, c.block, c.block + 1, 0, 77, 200};
  const HostTable table(lengths, c.block, random);
  const LatentPool before(table.num_pages, c.block, c.geometry.dim());
  const int at = c.q_rank > 0 ? c.q_rank : 40;
  const int stride = at + c.geometry.dim();
  std::vector<std::int32_t> requests;
  std::vector<std::int32_t> positions;
  if (c.prompt) {
    for (const int position : {0, 5, c.block - 1, c.block, 76}) {
      requests.push_back(4);
      positions.push_back(position);
    }
  }
  const std::size_t tokens = c.prompt ? requests.size() : lengths.size();
  std::vector<std::uint8_t> active(tokens, 1);
  if (!c.prompt) { active[4] = 0; }
  const std::vector<Bf16> projected = random_bf16(tokens * static_cast<std::size_t>(stride), random, 0.3F);
  const std::vector<Bf16> q_norm = random_bf16(static_cast<std::size_t>(c.q_rank), random);
  const std::vector<Bf16> k_norm = random_bf16(static_cast<std::size_t>(c.geometry.rank), random);
  const std::vector<float2> turns = random_turns(201, std::max(1, c.geometry.rope / 2), random);
  const DeviceArray<Bf16> device_projected(projected), device_q_norm(q_norm), device_k_norm(k_norm);
  const DeviceArray<float2> device_turns(turns);
  const DeviceArray<std::int32_t> pages(table.pages), device_lengths(table.lengths), device_requests(requests),
      device_positions(positions);
  const DeviceArray<std::uint8_t> device_active(active);
  const DeviceArray<Bf16> pool(before.values);
  DeviceArray<Bf16> q_latent(tokens * static_cast<std::size_t>(std::max(1, c.q_rank)));
  q_latent.poison();
  LatentAppend a;
  a.projected = device_projected.data();
  a.stride = stride;
  a.latent_at = at;
  a.q_rank = c.q_rank;
  a.q_norm = device_q_norm.data();
  a.k_norm = device_k_norm.data();
  a.kv_rank = c.geometry.rank;
  a.epsilon = static_cast<float>(kEpsilon);
  a.rotation = {device_turns.data(), c.geometry.rope, c.interleaved};
  if (c.prompt) {
    a.requests = device_requests.data();
    a.positions = device_positions.data();
  }
  a.active = device_active.data();
  a.num_tokens = static_cast<int>(tokens);
  a.q_latent = q_latent.data();
  a.kv = {pool.data(), nullptr, KvType::bf16, 1, c.block, c.geometry.dim(), 1.0F, 1.0F};
  a.table = {pages.data(), device_lengths.data(), table.max_blocks};
  ASSERT_EQ(append_latent(a, nullptr), cudaSuccess);
  finish();
  std::vector<Bf16> found = pool.read();
  const std::vector<Bf16> found_q = q_latent.read();
  for (std::size_t i = 0; i < tokens; ++i) {
    SCOPED_TRACE(testing::Message() << "token " << i);
    const std::size_t request = c.prompt ? 4 : i;
    const int position = c.prompt ? positions[i] : lengths[i] - 1;
    if (position < 0 || active[i] == 0) { continue; }
    const Bf16* row = &projected[i * static_cast<std::size_t>(stride)];
    const std::size_t stored = before.at(table.slot(request, position / c.block), position % c.block);
    expect_rounded(&found[stored], normed(row + at, k_norm, kEpsilon));
    expect_rounded(&found[stored + static_cast<std::size_t>(c.geometry.rank)],
                   rotated(row + at + c.geometry.rank, c.geometry.rope, c.interleaved, turns, position));
    if (c.q_rank > 0) {
      expect_rounded(&found_q[i * static_cast<std::size_t>(c.q_rank)], normed(row, q_norm, kEpsilon));
    }
    std::copy_n(&before.values[stored], c.geometry.dim(), &found[stored]);
  }
  EXPECT_EQ(std::memcmp(found.data(), before.values.data(), found.size() * 2), 0) << "something else was written";
}

TEST_F(LatentAppendTest, StoresNormedLatentsAndRotatedKeys) {
  Random random(1);
  for (const LatentGeometry& geometry : kLatentGeometries) {
    for (const int q_rank : {0, 16, 768, 1536}) {
      for (const bool interleaved : {false, true}) {
        for (const bool prompt : {false, true}) {
          const int block = q_rank == 16 ? 64 : 16;
          SCOPED_TRACE(testing::Message() << geometry.rank << "+" << geometry.rope << " q " << q_rank << " pairs "
                                          << interleaved << " prompt " << prompt);
          expect_appended({geometry, q_rank, block, interleaved, prompt}, random);
        }
      }
    }
  }
}

TEST_F(LatentAppendTest, RefusesWhatItCannotDo) { EXPECT_EQ(append_latent({}, nullptr), cudaErrorInvalidValue); }

struct ProductCase {
  int heads, n, k, rope;
};

void expect_products(const ProductCase& c, Random& random) {
  constexpr int kRows = 150;
  const int x_head = c.k + c.rope;
  const int x_row = c.heads * x_head + 8;
  const int y_head = c.n + c.rope;
  const int y_row = c.heads * y_head;
  const std::vector<Bf16> w = random_bf16(static_cast<std::size_t>(c.heads * c.n * c.k), random, 0.1F);
  const std::vector<Bf16> x = random_bf16(static_cast<std::size_t>(kRows * x_row), random);
  const std::vector<float2> turns = random_turns(300, std::max(1, c.rope / 2), random);
  std::vector<std::int32_t> lengths;
  for (int row = 0; row < kRows; ++row) { lengths.push_back(row % 7 == 3 ? 0 : 1 + row * 37 % 300); }
  const DeviceArray<Bf16> device_w(w), device_x(x);
  const DeviceArray<float2> device_turns(turns);
  const DeviceArray<std::int32_t> device_lengths(lengths);
  DeviceArray<Bf16> y(static_cast<std::size_t>(kRows * y_row));
  HeadProducts a;
  a.w = device_w.data();
  a.x = device_x.data();
  a.x_row = x_row;
  a.x_head = x_head;
  a.y = y.data();
  a.y_row = y_row;
  a.y_head = y_head;
  a.heads = c.heads;
  a.n = c.n;
  a.k = c.k;
  a.rotation = {device_turns.data(), c.rope, true};
  a.lengths = device_lengths.data();
  std::vector<Bf16> first;
  for (const int rows : {kRows, 1, 7, 9, 17, 33}) {
    SCOPED_TRACE(testing::Message() << rows << " rows");
    a.rows = rows;
    y.poison();
    ASSERT_EQ(head_products(a, nullptr), cudaSuccess);
    finish();
    const std::vector<Bf16> found = y.read();
    if (first.empty()) { first = found; }
    EXPECT_EQ(std::memcmp(found.data(), first.data(), static_cast<std::size_t>(rows * y_row) * 2), 0)
        << "bits depend on the number of rows";
  }
  int wrong = 0;
  for (int row = 0; row < kRows; row += 11) {
    for (int head = 0; head < c.heads; ++head) {
      const Bf16* from = &x[static_cast<std::size_t>(row * x_row + head * x_head)];
      const Bf16* to = &first[static_cast<std::size_t>(row * y_row + head * y_head)];
      for (int i = 0; i < c.n; ++i) {
        double sum = 0;
        for (int k = 0; k < c.k; ++k) {
          sum += value(from[k]) * value(w[static_cast<std::size_t>((head * c.n + i) * c.k + k)]);
        }
        if (std::abs(value(to[i]) - sum) <= std::abs(sum) / 200 + 2e-4) { continue; }
        if (++wrong <= 3) {
          ADD_FAILURE() << "row " << row << " head " << head << " output " << i << ": " << value(to[i]) << ", not "
                        << sum;
        }
      }
      const int position = lengths[static_cast<std::size_t>(row)] - 1;
      if (c.rope > 0 && position >= 0) { expect_rounded(to + c.n, rotated(from + c.k, c.rope, true, turns, position)); }
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(HeadProductsTest, AgreeWithFloat64AndDoNotDependOnCompany) {
  Random random(2);
  for (const ProductCase& c :
       {ProductCase{20, 512, 192, 64}, ProductCase{16, 512, 128, 64}, ProductCase{20, 256, 512, 0},
        ProductCase{16, 128, 512, 0}, ProductCase{40, 256, 64, 32}, ProductCase{5, 64, 256, 0},
        ProductCase{4, 16, 8, 4}, ProductCase{3, 48, 32, 16}, ProductCase{2, 8, 16, 0}}) {
    SCOPED_TRACE(testing::Message() << c.heads << " heads of " << c.n << " x " << c.k << " and " << c.rope);
    expect_products(c, random);
  }
}

TEST_F(HeadProductsTest, RefuseWhatTheyCannotDo) { EXPECT_EQ(head_products({}, nullptr), cudaErrorInvalidValue); }

}  // namespace
}  // namespace vortex::cuda
