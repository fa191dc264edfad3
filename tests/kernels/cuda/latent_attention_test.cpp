// Latent attention against float64, whatever the geometry, the heads, the pages and the schedule.
#include <cstring>

#include "tests/kernels/cuda/latent_support.h"

namespace vortex::cuda {
namespace {

struct Case {
  LatentGeometry geometry = {512, 64};
  int heads = 20;
  int block = 16;
  int parts = 8;
  std::vector<std::int32_t> lengths = {1, 16, 17, 0, 333, 1024, 31};
};

std::string name_of(const Case& c) {
  return std::to_string(c.geometry.rank) + "+" + std::to_string(c.geometry.rope) + ", " + std::to_string(c.heads) +
         " heads, blocks of " + std::to_string(c.block) + ", " + std::to_string(c.parts) + " parts";
}

// Weights are rounded to bf16, by 2^-9 of each at most, and `sizes` has what all of them change together where none
// outweighs another: the weighted sum of the values' sizes. Twice that is allowed. The first few of many wrong elements
// say enough.
void expect_elements(const std::vector<Bf16>& out, const std::vector<double>& reference,
                     const std::vector<double>& sizes, int width) {
  int wrong = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double bound = sizes[i] / 256 + std::abs(reference[i]) / 64;
    if (std::abs(value(out[i]) - reference[i]) <= bound) { continue; }
    if (++wrong <= 3) {
      ADD_FAILURE() << "query row " << i / static_cast<std::size_t>(width) << " element "
                    << i % static_cast<std::size_t>(width) << ": " << value(out[i]) << ", not " << reference[i];
    }
  }
  EXPECT_EQ(wrong, 0) << "of " << reference.size();
}

class Problem {
 public:
  Problem(const Case& c, Random& random)
      : c_(c),
        table_(c.lengths, c.block, random),
        pool_(table_.num_pages, c.block, c.geometry.dim()),
        q_(random_bf16(c.lengths.size() * static_cast<std::size_t>(c.heads * c.geometry.dim()), random)) {
    pool_.fill(table_, random);
    k_ = DeviceArray<Bf16>(pool_.values);
    pages_ = DeviceArray<std::int32_t>(table_.pages);
    lengths_ = DeviceArray<std::int32_t>(table_.lengths);
    device_q_ = DeviceArray<Bf16>(q_);
    out_ = DeviceArray<Bf16>(rows() * static_cast<std::size_t>(c.geometry.rank));
    lse_ = DeviceArray<float>(rows());
    workspace_ = DeviceArray<float>(static_cast<std::size_t>(
        latent_workspace_floats(static_cast<int>(c.lengths.size()), c.heads, c.geometry.rank, kMaxLatentParts)));
  }

  // Ascending selections of about `share` of the blocks, always with the last; unused slots are garbage.
  void select(double share, Random& random) {
    max_selected_ = table_.max_blocks;
    selected_.assign(c_.lengths.size() * static_cast<std::size_t>(max_selected_), kGarbage);
    counts_.assign(c_.lengths.size(), 0);
    for (std::size_t b = 0; b < c_.lengths.size(); ++b) {
      const int blocks = num_blocks(b);
      for (int i = 0; i < blocks; ++i) {
        if (i + 1 < blocks && std::uniform_real_distribution<double>()(random) >= share) { continue; }
        selected_[b * static_cast<std::size_t>(max_selected_) + static_cast<std::size_t>(counts_[b]++)] = i;
      }
    }
    device_selected_ = DeviceArray<std::int32_t>(selected_);
    device_counts_ = DeviceArray<std::int32_t>(counts_);
  }

  LatentAttention args(std::size_t requests) const {
    LatentAttention a;
    a.q = device_q_.data();
    a.out = out_.data();
    a.lse = lse_.data();
    a.kv = {k_.data(), nullptr, KvType::bf16, 1, c_.block, c_.geometry.dim(), 1.0F, 1.0F};
    a.value_dim = c_.geometry.rank;
    a.table = {pages_.data(), lengths_.data(), table_.max_blocks};
    if (!selected_.empty()) { a.selection = {device_selected_.data(), device_counts_.data(), max_selected_}; }
    a.rows = static_cast<int>(requests);
    a.num_q_heads = c_.heads;
    a.scale = scale();
    return a;
  }

  // The outputs of the first requests.
  std::vector<Bf16> run(int parts, std::size_t requests, LatentCopies copies = LatentCopies::boxes) {
    out_.poison();
    lse_.poison();
    workspace_.poison();
    EXPECT_EQ(latent_attention(args(requests), {parts, workspace_.data(), copies}, nullptr), cudaSuccess);
    finish();
    std::vector<Bf16> out = out_.read();
    out.resize(requests * static_cast<std::size_t>(c_.heads * c_.geometry.rank));
    return out;
  }
  float* workspace() const { return workspace_.data(); }
  std::vector<Bf16> run() { return run(c_.parts, c_.lengths.size()); }

  void expect_close(const std::vector<Bf16>& out) const {
    const auto rank = static_cast<std::size_t>(c_.geometry.rank);
    std::vector<double> reference(rows() * rank, 0.0);
    std::vector<double> sizes(rows() * rank, 0.0);
    const std::vector<float> lse = lse_.read();
    for (std::size_t row = 0; row < rows(); ++row) {
      const double expected = attend(row, &reference[row * rank], &sizes[row * rank]);
      if (std::isinf(expected)) {
        EXPECT_EQ(lse[row], -std::numeric_limits<float>::infinity()) << "lse of query row " << row;
      } else if (!(std::abs(static_cast<double>(lse[row]) - expected) <= 2e-4 * std::max(1.0, std::abs(expected)))) {
        ADD_FAILURE() << "lse of query row " << row << ": " << lse[row] << ", not " << expected;
        break;
      }
    }
    EXPECT_LT(relative_error(values(out), reference), 6e-3);
    expect_elements(out, reference, sizes, c_.geometry.rank);
  }

 private:
  std::size_t rows() const { return c_.lengths.size() * static_cast<std::size_t>(c_.heads); }
  float scale() const { return 1.3F / std::sqrt(static_cast<float>(c_.geometry.dim())); }
  int num_blocks(std::size_t request) const { return (c_.lengths[request] + c_.block - 1) / c_.block; }

  // float64 attention of one query row, and the same of the values' sizes; gives the log of the denominator.
  double attend(std::size_t row, double* out, double* sizes) const {
    const std::size_t b = row / static_cast<std::size_t>(c_.heads);
    const auto dim = static_cast<std::size_t>(c_.geometry.dim());
    std::vector<float> query(dim);
    for (std::size_t d = 0; d < dim; ++d) { query[d] = __bfloat162float(q_[row * dim + d]); }
    std::vector<std::size_t> tokens;
    const int visited = selected_.empty() ? num_blocks(b) : counts_[b];
    for (int v = 0; v < visited; ++v) {
      const std::size_t place = b * static_cast<std::size_t>(max_selected_) + static_cast<std::size_t>(v);
      const int block = selected_.empty() ? v : selected_[place];
      for (int slot = 0; slot < c_.block && block * c_.block + slot < c_.lengths[b]; ++slot) {
        tokens.push_back(pool_.at(table_.slot(b, block), slot));
      }
    }
    std::vector<double> scores;
    double top = -std::numeric_limits<double>::infinity();
    for (const std::size_t token : tokens) {
      double dot = 0;
      for (std::size_t d = 0; d < dim; ++d) {
        dot += static_cast<double>(query[d] * __bfloat162float(pool_.values[token + d]));
      }
      scores.push_back(dot * static_cast<double>(scale()));
      top = std::max(top, scores.back());
    }
    double total = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const double weight = std::exp(scores[i] - top);
      total += weight;
      for (std::size_t d = 0; d < static_cast<std::size_t>(c_.geometry.rank); ++d) {
        const auto value = static_cast<double>(__bfloat162float(pool_.values[tokens[i] + d]));
        out[d] += weight * value;
        sizes[d] += weight * std::abs(value);
      }
    }
    for (std::size_t d = 0; d < static_cast<std::size_t>(c_.geometry.rank); ++d) {
      out[d] /= std::max(total, 1e-300);
      sizes[d] /= std::max(total, 1e-300);
    }
    return top + std::log(total);
  }

  Case c_;
  HostTable table_;
  LatentPool pool_;
  std::vector<Bf16> q_;
  std::vector<std::int32_t> selected_, counts_;
  int max_selected_ = 0;
  DeviceArray<Bf16> k_, device_q_, out_;
  DeviceArray<float> lse_, workspace_;
  DeviceArray<std::int32_t> pages_, lengths_, device_selected_, device_counts_;
};

using LatentAttentionTest = DeviceTest;

TEST_F(LatentAttentionTest, AgreesWithFloat64OnEveryGeometryAndBlock) {
  Random random(1);
  for (const LatentGeometry& geometry : kLatentGeometries) {
    for (const int block : {16, 32, 64, 48}) {
      Case c;
      c.geometry = geometry;
      c.block = block;
      c.lengths = {1, block - 1, block, block + 1, 0, 333, 31};
      SCOPED_TRACE(name_of(c));
      Problem problem(c, random);
      problem.expect_close(problem.run());
      problem.select(0.4, random);
      problem.expect_close(problem.run());
    }
  }
}

TEST_F(LatentAttentionTest, AnyNumberOfHeads) {
  Random random(2);
  for (const int heads : {1, 3, 8, 9, 16, 17, 24, 25, 32, 33, 40, 64, 126, 128}) {
    for (const LatentGeometry& geometry : {LatentGeometry{512, 64}, LatentGeometry{256, 32}}) {
      Case c;
      c.geometry = geometry;
      c.heads = heads;
      c.lengths = {200, 0, 65};
      SCOPED_TRACE(name_of(c));
      Problem problem(c, random);
      problem.expect_close(problem.run());
    }
  }
}

TEST_F(LatentAttentionTest, SchedulesAgreeAndBitsDependOnTheRowAlone) {
  Random random(3);
  for (const int heads : {16, 20, 40}) {
    Case c;
    c.heads = heads;
    c.block = 32;
    c.lengths = {2100, 40, 700, 1, 0, 1500};
    Problem problem(c, random);
    for (const int parts : {1, 2, 3, 8, 16}) {
      c.parts = parts;
      SCOPED_TRACE(name_of(c));
      const std::vector<Bf16> out = problem.run(parts, c.lengths.size());
      problem.expect_close(out);
      const std::vector<Bf16> again = problem.run(parts, c.lengths.size());
      EXPECT_EQ(std::memcmp(out.data(), again.data(), out.size() * 2), 0) << "a rerun differs";
      const std::vector<Bf16> alone = problem.run(parts, 1);
      EXPECT_EQ(std::memcmp(out.data(), alone.data(), alone.size() * 2), 0) << "company changes a bit";
    }
    const std::vector<Bf16> dense = problem.run(8, c.lengths.size());
    problem.select(1.0, random);
    const std::vector<Bf16> all = problem.run(8, c.lengths.size());
    EXPECT_EQ(std::memcmp(dense.data(), all.data(), dense.size() * 2), 0) << "all blocks selected differ from dense";
  }
}

// Copies of 16 tokens bring what lies behind the last one, too, and lay tokens down in another way.
TEST_F(LatentAttentionTest, BitsDoNotDependOnHowTilesAreCopied) {
  Random random(8);
  for (const int block : {16, 32, 48, 64}) {
    for (const int heads : {16, 20, 40}) {
      Case c;
      c.heads = heads;
      c.block = block;
      c.lengths = {1, 15, 16, 17, 31, 32, 33, 0, 48, 63, 65, 1000, 2049};
      Problem problem(c, random);
      for (const double share : {1.0, 0.4}) {
        if (share < 1.0) { problem.select(share, random); }
        for (const int parts : {1, 3, 16}) {
          c.parts = parts;
          SCOPED_TRACE(name_of(c));
          const std::vector<Bf16> boxes = problem.run(parts, c.lengths.size());
          const std::vector<Bf16> tokens = problem.run(parts, c.lengths.size(), LatentCopies::tokens);
          if (parts == 3 && heads == 20) { problem.expect_close(tokens); }  // which takes the host a while
          EXPECT_EQ(std::memcmp(boxes.data(), tokens.data(), boxes.size() * 2), 0);
        }
      }
    }
  }
}

// A row of a prompt is a request with as many tokens as the row sees.
TEST_F(LatentAttentionTest, RowsOfAPromptAreDecodeRowsToTheBit) {
  Random random(4);
  for (const LatentGeometry& geometry : kLatentGeometries) {
    for (const auto& [first, rows] : {std::pair{0, 1}, {0, 33}, {0, 130}, {63, 2}, {100, 70}, {512, 9}}) {
      const int heads = rows % 2 == 0 ? 20 : 16;
      const int block = rows % 3 == 0 ? 32 : 16;
      SCOPED_TRACE(testing::Message() << geometry.rank << "+" << geometry.rope << " rows " << first << " + " << rows);
      const HostTable table({first + rows}, block, random);
      LatentPool pool(table.num_pages, block, geometry.dim());
      pool.fill(table, random);
      const auto size = static_cast<std::size_t>(rows * heads);
      const DeviceArray<Bf16> k(pool.values);
      const DeviceArray<Bf16> q(random_bf16(size * static_cast<std::size_t>(geometry.dim()), random));
      std::vector<std::int32_t> rows_table;
      std::vector<std::int32_t> seen;
      for (int r = 0; r < rows; ++r) {
        rows_table.insert(rows_table.end(), table.pages.begin(), table.pages.end());
        seen.push_back(first + r + 1);
      }
      const DeviceArray<std::int32_t> pages(rows_table), lengths(seen);
      DeviceArray<Bf16> decoded(size * static_cast<std::size_t>(geometry.rank));
      DeviceArray<Bf16> prompted(decoded.size());
      decoded.poison();
      prompted.poison();
      LatentAttention a;
      a.q = q.data();
      a.out = decoded.data();
      a.kv = {k.data(), nullptr, KvType::bf16, 1, block, geometry.dim(), 1.0F, 1.0F};
      a.value_dim = geometry.rank;
      a.table = {pages.data(), lengths.data(), table.max_blocks};
      a.rows = rows;
      a.num_q_heads = heads;
      a.scale = 0.05F;
      ASSERT_EQ(latent_attention(a, {1, nullptr}, nullptr), cudaSuccess);
      a.out = prompted.data();
      a.table.lengths = nullptr;
      a.prompt = true;
      a.first = first;
      ASSERT_EQ(latent_attention(a, {}, nullptr), cudaSuccess);
      finish();
      const std::vector<Bf16> expected = decoded.read();
      const std::vector<Bf16> found = prompted.read();
      EXPECT_LT(relative_error(values(found), values(expected)), 1e-9);
    }
  }
}

TEST_F(LatentAttentionTest, HugeAndEqualScoresAreSafe) {
  Random random(5);
  for (const float scale : {0.0F, 40.0F, -40.0F}) {
    SCOPED_TRACE(scale);
    Case c;
    c.lengths = {100, 65, 0, 1000};
    Problem problem(c, random);
    LatentAttention a = problem.args(c.lengths.size());
    a.scale = scale;
    ASSERT_EQ(latent_attention(a, {4, problem.workspace()}, nullptr), cudaSuccess);
    finish();
    std::vector<Bf16> out(c.lengths.size() * static_cast<std::size_t>(c.heads * c.geometry.rank));
    ASSERT_EQ(cudaMemcpy(out.data(), a.out, out.size() * 2, cudaMemcpyDeviceToHost), cudaSuccess);
    const auto bad = std::count_if(out.begin(), out.end(), [](Bf16 x) { return !(std::abs(value(x)) < 10); });
    EXPECT_EQ(bad, 0);
  }
}

// Pages past 2^31 bytes and past 2^31 elements.
TEST_F(LatentAttentionTest, PoolsMayBeLarge) {
  constexpr int kBlock = 64;
  constexpr std::int64_t kPage = std::int64_t{kBlock} * 576;
  const int far = static_cast<int>((std::int64_t{1} << 31) / kPage + 5);
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  const auto bytes = static_cast<std::size_t>((far + 1) * kPage * 2);
  if (free < bytes + (std::size_t{1} << 30)) { GTEST_SKIP() << "little memory is free"; }
  Random random(6);
  const std::vector<Bf16> tokens = random_bf16(static_cast<std::size_t>(kPage), random);
  const DeviceArray<Bf16> pool(bytes / 2);
  const DeviceArray<Bf16> q(random_bf16(20 * 576, random));
  DeviceArray<Bf16> out(20 * 512);
  const DeviceArray<std::int32_t> lengths(std::vector<std::int32_t>{64});
  std::vector<std::vector<Bf16>> outputs;
  for (const int page : {0, far / 2 + 3, far}) {
    ASSERT_EQ(cudaMemcpy(pool.data() + page * kPage, tokens.data(), tokens.size() * 2, cudaMemcpyHostToDevice),
              cudaSuccess);
    const DeviceArray<std::int32_t> pages(std::vector<std::int32_t>{page});
    LatentAttention a;
    a.q = q.data();
    a.out = out.data();
    a.kv = {pool.data(), nullptr, KvType::bf16, 1, kBlock, 576, 1.0F, 1.0F};
    a.value_dim = 512;
    a.table = {pages.data(), lengths.data(), 1};
    a.rows = 1;
    a.num_q_heads = 20;
    a.scale = 0.06F;
    out.poison();
    ASSERT_EQ(latent_attention(a, {1, nullptr}, nullptr), cudaSuccess);
    finish();
    outputs.push_back(out.read());
  }
  for (const std::vector<Bf16>& other : outputs) {
    EXPECT_EQ(std::memcmp(other.data(), outputs[0].data(), other.size() * 2), 0);
  }
}

TEST_F(LatentAttentionTest, RefusesWhatItCannotDo) {
  EXPECT_EQ(latent_attention({}, {}, nullptr), cudaErrorInvalidValue);
  Random random(7);
  Case c;
  c.lengths = {20};
  const Problem problem(c, random);
  LatentAttention a = problem.args(1);
  EXPECT_EQ(latent_attention(a, {3, nullptr}, nullptr), cudaErrorInvalidValue);
  a.kv.type = KvType::fp8_e4m3;
  EXPECT_EQ(latent_attention(a, {1, nullptr}, nullptr), cudaErrorNotSupported);
  a = problem.args(1);
  a.kv.head_dim = 1040;
  EXPECT_EQ(latent_attention(a, {1, nullptr}, nullptr), cudaErrorNotSupported);
}

}  // namespace
}  // namespace vortex::cuda
