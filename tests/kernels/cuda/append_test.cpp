#include "kernels/cuda/append.h"

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

constexpr float kEpsilon = 1e-6F;

struct Case {
  KvType type = KvType::bf16;
  int dim = 128;
  bool norm = true;
  float k_scale = 1.0F;
  float v_scale = 1.0F;
  int q_heads = 6;
  int heads = 3;
  int rotated = 0;         // elements of a head; 0: all
  bool all_heads = false;  // normalised together

  int turned() const { return rotated > 0 ? rotated : dim; }
};

std::vector<float2> rope_table(int positions, int dim) {
  std::vector<float2> table;
  for (int p = 0; p < positions; ++p) {
    for (int i = 0; i < dim / 2; ++i) {
      const double angle = p * std::pow(1e6, -2.0 * i / dim);
      table.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
    }
  }
  return table;
}

// Requests with some history in the pool, and one launch of append_kv.
class Problem {
 public:
  Problem(const Case& c, std::vector<std::int32_t> lengths, Random& random)
      : c_(c),
        random_(random),
        table_(std::move(lengths), 16, random),
        pool_(c.type, table_.num_pages, c.heads, 16, c.dim),
        rope_(rope_table(*std::max_element(table_.lengths.begin(), table_.lengths.end()), c.turned())),
        q_norm_(random_bf16(c.all_heads ? dim() * q_heads() : dim(), random)),
        k_norm_(random_bf16(c.all_heads ? dim() * static_cast<std::size_t>(c.heads) : dim(), random)) {
    fill_tokens(pool_, table_, random);
    summary_host_.assign(static_cast<std::size_t>(table_.num_pages * c.heads) * dim(), __ushort_as_bfloat16(0x7fc0));
    for (auto& s : summary_) { s = DeviceArray<Bf16>(summary_host_); }
    pages_ = DeviceArray<std::int32_t>(table_.pages);
    lengths_ = DeviceArray<std::int32_t>(table_.lengths);
    k_ = DeviceArray<std::uint8_t>(pool_.bytes(pool_.k));
    v_ = DeviceArray<std::uint8_t>(pool_.bytes(pool_.v));
  }

  KvPool kv() const { return {k_.data(), v_.data(), c_.type, c_.heads, 16, c_.dim, c_.k_scale, c_.v_scale}; }
  PageTable page_table() const { return {pages_.data(), lengths_.data(), table_.max_blocks}; }
  BlockSummary summary() const { return {summary_[0].data(), summary_[1].data(), summary_[2].data()}; }

  // One token per entry; in decode mode they are the last tokens of the requests.
  void append(bool decode, const std::vector<std::int32_t>& requests, const std::vector<std::int32_t>& positions) {
    const int heads = c_.q_heads + 2 * c_.heads;
    const std::size_t tokens = positions.size();
    qkv_ = random_bf16(tokens * static_cast<std::size_t>(heads) * dim(), random_);
    const DeviceArray<Bf16> qkv(qkv_), q_norm(q_norm_), k_norm(k_norm_);
    const DeviceArray<float2> rope(rope_);
    const DeviceArray<std::int32_t> device_requests(requests), device_positions(positions);
    DeviceArray<Bf16> q(tokens * q_heads() * dim());
    q.poison();
    DeviceArray<float2> factors(tokens);
    factors.poison();
    KvAppend a;
    a.rotated = c_.rotated;
    if (c_.all_heads) {
      const HeadFactors f{qkv.data(), factors.data(), static_cast<int>(tokens), c_.q_heads, c_.heads, c_.dim, kEpsilon};
      ASSERT_EQ(head_factors(f, nullptr), cudaSuccess);
      a.factors = factors.data();
    }
    a.qkv = qkv.data();
    a.q_norm = c_.norm ? q_norm.data() : nullptr;
    a.k_norm = c_.norm ? k_norm.data() : nullptr;
    a.epsilon = kEpsilon;
    a.rope = rope.data();
    if (!decode) {
      a.requests = device_requests.data();
      a.positions = device_positions.data();
    }
    const DeviceArray<std::uint8_t> active(active_);
    if (!active_.empty()) { a.active = active.data(); }
    a.num_tokens = static_cast<int>(tokens);
    a.num_q_heads = c_.q_heads;
    a.q = q.data();
    a.kv = kv();
    a.table = page_table();
    a.summary = summary();
    ASSERT_EQ(append_kv(a, nullptr), cudaSuccess);
    finish();
    q_ = q.read();

    std::vector<double> q_reference, q_device;
    for (std::size_t t = 0; t < tokens; ++t) {
      for (int h = 0; h < heads; ++h) {
        if (positions[t] < 0 || (!active_.empty() && !active_[t])) { continue; }
        const std::vector<double> x = transformed(t, h, positions[t]);
        if (h < c_.q_heads) {
          q_reference.insert(q_reference.end(), x.begin(), x.end());
          const auto from =
              q_.begin() + static_cast<std::ptrdiff_t>((t * q_heads() + static_cast<std::size_t>(h)) * dim());
          for (std::size_t d = 0; d < dim(); ++d) {
            q_device.push_back(value(*(from + static_cast<std::ptrdiff_t>(d))));
          }
        } else {
          store(static_cast<std::size_t>(requests[t]), positions[t], h - c_.q_heads, x);
        }
      }
    }
    EXPECT_LT(relative_error(q_device, q_reference), 3e-3);
  }

  // The pool must hold the reference within one rounding, and be untouched elsewhere; afterwards the reference takes
  // over the device's values, so that summaries are checked against what is stored.
  void expect_pool() {
    for (const bool keys : {true, false}) {
      const std::vector<std::uint8_t> bytes = keys ? k_.read() : v_.read();
      std::vector<std::uint32_t>& host = keys ? pool_.k : pool_.v;
      const auto size = static_cast<std::size_t>(kv_type_size(c_.type));
      const float rounding = c_.type == KvType::fp8_e4m3   ? 1.0F / 8
                             : c_.type == KvType::fp8_e5m2 ? 1.0F / 4
                                                           : 1.0F / 128;
      const float slack = c_.type == KvType::fp32 ? 1e-4F : 2e-3F;
      for (std::size_t i = 0; i < host.size(); ++i) {
        std::uint32_t device = 0;
        for (std::size_t b = 0; b < size; ++b) { device |= static_cast<std::uint32_t>(bytes[i * size + b]) << (8 * b); }
        const float expected = decode(host[i], c_.type);
        if (std::isnan(expected)) {
          ASSERT_EQ(device, host[i]) << "written outside the tokens, element " << i;
        } else {
          ASSERT_NEAR(decode(device, c_.type), expected, std::abs(expected) * rounding + slack) << "element " << i;
        }
        host[i] = device;
      }
    }
  }

  // Exactly the given blocks, as (request, block), have summaries; all others are as they were.
  void expect_summaries(const std::vector<std::pair<std::size_t, int>>& blocks) {
    std::vector<std::vector<Bf16>> expected(3, summary_host_);
    for (const auto& [b, block] : blocks) {
      for (int h = 0; h < c_.heads; ++h) {
        for (int d = 0; d < c_.dim; ++d) {
          double sum = 0.0;
          double largest = -1e300;
          double smallest = 1e300;
          for (int t = 0; t < 16; ++t) {
            const double x = static_cast<double>(decode(pool_.k[pool_.at(table_.slot(b, block), h, t, d)], c_.type)) *
                             static_cast<double>(c_.k_scale);
            sum += x;
            largest = std::max(largest, x);
            smallest = std::min(smallest, x);
          }
          const std::size_t at = pool_.at(table_.slot(b, block), h, 0, 0) / 16 + static_cast<std::size_t>(d);
          expected[0][at] = __double2bfloat16(sum / 16);
          expected[1][at] = __double2bfloat16(largest);
          expected[2][at] = __double2bfloat16(smallest);
        }
      }
    }
    for (std::size_t s = 0; s < 3; ++s) {
      const std::vector<Bf16> device = summary_[s].read();
      for (std::size_t i = 0; i < device.size(); ++i) {
        if (std::isnan(value(expected[s][i]))) {
          ASSERT_TRUE(std::isnan(value(device[i]))) << "summary " << s << " element " << i;
        } else {
          const double e = value(expected[s][i]);
          ASSERT_NEAR(value(device[i]), e, s == 0 ? std::abs(e) / 128 + 1e-6 : 0.0) << "summary " << s << " at " << i;
        }
      }
    }
  }

  const std::vector<Bf16>& q() const { return q_; }
  void set_active(std::vector<std::uint8_t> active) { active_ = std::move(active); }

 private:
  std::size_t dim() const { return static_cast<std::size_t>(c_.dim); }
  std::size_t q_heads() const { return static_cast<std::size_t>(c_.q_heads); }

  std::vector<double> transformed(std::size_t token, int head, int position) const {
    std::vector<double> x(dim());
    const std::size_t at =
        (token * static_cast<std::size_t>(c_.q_heads + 2 * c_.heads) + static_cast<std::size_t>(head)) * dim();
    for (std::size_t d = 0; d < dim(); ++d) { x[d] = value(qkv_[at + d]); }
    if (head >= c_.q_heads + c_.heads) { return x; }
    if (c_.norm) {
      const bool query = head < c_.q_heads;
      const int first = query ? 0 : c_.q_heads;  // head that the weights begin with
      const std::vector<Bf16>& weight = query ? q_norm_ : k_norm_;
      const std::size_t of_head = c_.all_heads ? static_cast<std::size_t>(head - first) * dim() : 0;
      const double mean =
          c_.all_heads ? mean_square(token, first, query ? c_.q_heads : c_.heads) : mean_square(token, head, 1);
      for (std::size_t d = 0; d < dim(); ++d) {
        x[d] *= value(weight[of_head + d]) / std::sqrt(mean + static_cast<double>(kEpsilon));
      }
    }
    std::vector<double> y = x;
    const auto half = static_cast<std::size_t>(c_.turned() / 2);
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = position * std::pow(1e6, -2.0 * static_cast<double>(i) / c_.turned());
      y[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
      y[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
    }
    return y;
  }

  // Of the elements of some heads of a token.
  double mean_square(std::size_t token, int first, int heads) const {
    const std::size_t row = token * static_cast<std::size_t>(c_.q_heads + 2 * c_.heads);
    const std::size_t at = (row + static_cast<std::size_t>(first)) * dim();
    const std::size_t count = static_cast<std::size_t>(heads) * dim();
    double squares = 0.0;
    for (std::size_t i = at; i < at + count; ++i) { squares += value(qkv_[i]) * value(qkv_[i]); }
    return squares / static_cast<double>(count);
  }

  void store(std::size_t request, int position, int kv_index, const std::vector<double>& x) {
    const bool key = kv_index < c_.heads;
    const std::size_t at =
        pool_.at(table_.slot(request, position / 16), key ? kv_index : kv_index - c_.heads, position % 16, 0);
    for (std::size_t d = 0; d < dim(); ++d) {
      const double scaled = x[d] / static_cast<double>(key ? c_.k_scale : c_.v_scale);
      (key ? pool_.k : pool_.v)[at + d] = encode(static_cast<float>(scaled), c_.type);
    }
  }

  Case c_;
  Random& random_;
  HostTable table_;
  HostPool pool_;
  std::vector<float2> rope_;
  std::vector<std::uint8_t> active_;
  std::vector<Bf16> q_norm_, k_norm_, qkv_, q_, summary_host_;
  DeviceArray<std::uint8_t> k_, v_;
  DeviceArray<std::int32_t> pages_, lengths_;
  DeviceArray<Bf16> summary_[3];
};

const std::vector<Case> kCases = {{KvType::bf16, 128, true, 1.0F, 1.0F},
                                  {KvType::bf16, 64, true, 1.0F, 1.0F},
                                  {KvType::bf16, 128, false, 1.0F, 1.0F},
                                  {KvType::fp8_e4m3, 128, true, 0.5F, 2.0F},
                                  {KvType::fp8_e4m3, 64, true, 1.0F, 1.0F},
                                  {KvType::fp8_e5m2, 128, true, 1.0F, 0.25F},
                                  {KvType::fp8_e4m3, 128, true, 0.001F, 1.0F},  // saturates
                                  {KvType::fp32, 128, true, 1.0F, 1.0F},
                                  {KvType::fp32, 64, false, 1.0F, 1.0F},
                                  {KvType::bf16, 64, false, 1.0F, 1.0F, 9, 3},  // SmolLM2
                                  {KvType::bf16, 128, false, 1.0F, 1.0F, 14, 2},
                                  {KvType::bf16, 128, true, 1.0F, 1.0F, 6, 1},
                                  {KvType::fp8_e4m3, 128, true, 1.0F, 1.0F, 33, 3},
                                  {KvType::fp32, 64, true, 1.0F, 1.0F, 16, 1},
                                  {KvType::bf16, 128, true, 1.0F, 1.0F, 12, 2, 64, true},  // MiniMax-M2
                                  {KvType::fp8_e4m3, 128, true, 1.0F, 1.0F, 6, 3, 96, false},
                                  {KvType::bf16, 64, true, 1.0F, 1.0F, 5, 1, 16, true},
                                  {KvType::fp32, 64, true, 1.0F, 1.0F, 4, 4, 0, true}};

using AppendTest = DeviceTest;

TEST_F(AppendTest, DecodeStoresTokensAndSummarisesBlocksThatTheyComplete) {
  Random random(1);
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(c.type) << " dim " << c.dim << " norm " << c.norm
                                    << " heads " << c.q_heads << " on " << c.heads);
    const std::vector<std::int32_t> lengths = {1, 16, 0, 17, 48, 333};
    Problem problem(c, lengths, random);
    std::vector<std::int32_t> requests, positions;
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      requests.push_back(static_cast<std::int32_t>(b));
      positions.push_back(lengths[b] - 1);
    }
    problem.append(true, requests, positions);
    problem.expect_pool();
    problem.expect_summaries({{1, 0}, {4, 2}});
    const std::size_t idle = 2 * static_cast<std::size_t>(c.q_heads * c.dim);
    for (std::size_t i = 0; i < static_cast<std::size_t>(c.q_heads * c.dim); ++i) {
      ASSERT_EQ(__bfloat16_as_ushort(problem.q()[idle + i]), 0xffff) << "idle request written";
    }
  }
}

TEST_F(AppendTest, RequestsThatWaitAreLeftAlone) {
  Random random(3);
  Problem problem(kCases[0], {16, 32, 7}, random);
  problem.set_active({1, 0, 0});
  problem.append(true, {0, 1, 2}, {15, 31, 6});
  problem.expect_pool();
  problem.expect_summaries({{0, 0}});
}

TEST_F(AppendTest, PrefillStoresTokensAndSummarizeBlocksFindsTheNewOnes) {
  Random random(2);
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(c.type) << " dim " << c.dim);
    Problem problem(c, {40, 64, 20}, random);
    std::vector<std::int32_t> requests, positions;
    const std::vector<std::int32_t> first = {0, 33, 20};  // the third request has nothing new
    const std::vector<std::int32_t> last = {40, 64, 20};
    for (std::int32_t b = 0; b < 3; ++b) {
      for (std::int32_t p = first[static_cast<std::size_t>(b)]; p < last[static_cast<std::size_t>(b)]; ++p) {
        requests.push_back(b);
        positions.push_back(p);
      }
    }
    problem.append(false, requests, positions);
    problem.expect_pool();
    problem.expect_summaries({});
    const DeviceArray<std::int32_t> device_first(first);
    const SummarizeBlocks s{problem.kv(), problem.page_table(), device_first.data(), 3, 4, problem.summary()};
    ASSERT_EQ(summarize_blocks(s, nullptr), cudaSuccess);
    finish();
    problem.expect_summaries({{0, 0}, {0, 1}, {1, 2}, {1, 3}});
  }
}

TEST_F(AppendTest, RefusesBadArguments) {
  KvAppend a;
  EXPECT_EQ(append_kv(a, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(summarize_blocks({}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(head_factors({}, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace vortex::cuda
