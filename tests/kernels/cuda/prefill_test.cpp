// Prefill attention beside decode attention, which is tested against a float64 oracle: a row of a chunk is a request
// with as many tokens as the row sees.
#include "kernels/cuda/prefill.h"

#include "kernels/cuda/attention.h"
#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

struct Case {
  KvType type;
  int q_heads, kv_heads, dim, block, first, rows;
};

void expect_near(const std::vector<Bf16>& actual, const std::vector<Bf16>& wanted) {
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_FALSE(std::isnan(value(actual[i]))) << i;
    error += std::pow(value(actual[i]) - value(wanted[i]), 2);
    norm += std::pow(value(wanted[i]), 2);
  }
  EXPECT_LT(std::sqrt(error / norm), 1e-2);
}

std::vector<std::uint16_t> bits_of(const std::vector<Bf16>& x) {
  std::vector<std::uint16_t> bits(x.size());
  std::transform(x.begin(), x.end(), bits.begin(), [](Bf16 v) { return __bfloat16_as_ushort(v); });
  return bits;
}

void expect_like_decode(const Case& c) {
  SCOPED_TRACE(std::to_string(c.first) + " + " + std::to_string(c.rows) + ", dim " + std::to_string(c.dim));
  Random random(static_cast<std::uint64_t>(c.first * 1000 + c.rows));
  const int tokens = c.first + c.rows;
  const int blocks = (tokens + c.block - 1) / c.block;
  const int pages = 2 * blocks + 1;
  HostPool pool(c.type, pages, c.kv_heads, c.block, c.dim);  // all NaN
  std::vector<std::int32_t> order(static_cast<std::size_t>(pages));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  for (int t = 0; t < tokens; ++t) {
    for (int h = 0; h < c.kv_heads; ++h) {
      for (int d = 0; d < c.dim; ++d) {
        const std::size_t at = pool.at(order[static_cast<std::size_t>(t / c.block)], h, t % c.block, d);
        pool.k[at] = encode(normal(random), c.type);
        pool.v[at] = encode(normal(random), c.type);
      }
    }
  }
  const auto size = static_cast<std::size_t>(c.rows * c.q_heads * c.dim);
  const DeviceArray<Bf16> q(random_bf16(size, random));
  const DeviceArray<std::uint8_t> k(pool.bytes(pool.k));
  const DeviceArray<std::uint8_t> v(pool.bytes(pool.v));
  const DeviceArray<std::int32_t> table(order);
  DeviceArray<Bf16> out(size);
  PrefillAttention args;
  args.q = q.data();
  args.out = out.data();
  args.kv = {k.data(), v.data(), c.type, c.kv_heads, c.block, c.dim, 0.5F, 2.0F};
  if (kv_type_size(c.type) > 1) { args.kv.k_scale = args.kv.v_scale = 1.0F; }
  args.pages = table.data();
  args.first = c.first;
  args.rows = c.rows;
  args.num_q_heads = c.q_heads;
  args.scale = 0.3F;

  std::vector<std::int32_t> rows_table;
  std::vector<std::int32_t> lengths;
  for (int r = 0; r < c.rows; ++r) {
    rows_table.insert(rows_table.end(), order.begin(), order.begin() + blocks);
    lengths.push_back(c.first + r + 1);
  }
  const DeviceArray<std::int32_t> decode_table(rows_table);
  const DeviceArray<std::int32_t> decode_lengths(lengths);
  DeviceArray<Bf16> expected(size);
  DecodeAttention decode;
  decode.q = args.q;
  decode.out = expected.data();
  decode.kv = args.kv;
  decode.table = {decode_table.data(), decode_lengths.data(), blocks};
  decode.num_requests = c.rows;
  decode.num_q_heads = c.q_heads;
  decode.scale = args.scale;
  ASSERT_EQ(decode_attention(decode, {}, nullptr), cudaSuccess);
  finish();
  const std::vector<Bf16> wanted = expected.read();
  for (const bool plain : {true, false}) {
    args.plain = plain;
    out.poison();
    ASSERT_EQ(prefill_attention(args, nullptr), cudaSuccess);
    finish();
    const std::vector<Bf16> all = out.read();
    expect_near(all, wanted);
    for (int together = 1; together <= c.kv_heads && !plain; ++together) {
      args.heads_together = together;
      out.poison();
      ASSERT_EQ(prefill_attention(args, nullptr), cudaSuccess);
      finish();
      EXPECT_EQ(bits_of(out.read()), bits_of(all)) << together << " KV heads together";
    }
    args.heads_together = 0;
  }
}

class Prefill : public DeviceTest {};

TEST_F(Prefill, RowsAreDecodeRows) {
  for (const auto& [first, rows] : {std::pair{0, 1},
                                    {0, 16},
                                    {0, 63},
                                    {0, 64},
                                    {0, 65},
                                    {0, 200},
                                    {1, 1},
                                    {63, 2},
                                    {64, 64},
                                    {100, 70},
                                    {128, 128},
                                    {300, 400},
                                    {512, 33}}) {
    expect_like_decode({KvType::bf16, 4, 2, 128, 16, first, rows});
    expect_like_decode({KvType::bf16, 8, 4, 64, 32, first, rows});
  }
  expect_like_decode({KvType::bf16, 8, 1, 128, 48, 77, 90});
  expect_like_decode({KvType::fp8_e4m3, 4, 2, 128, 16, 77, 90});
  expect_like_decode({KvType::fp8_e5m2, 4, 4, 64, 16, 0, 90});
}

TEST_F(Prefill, EveryGroupAndType) {
  for (const int group : kGroups) {
    for (const KvType type : kTypes) {
      SCOPED_TRACE(testing::Message() << "group " << group << " type " << static_cast<int>(type));
      expect_like_decode({type, 2 * group, 2, group % 2 == 0 ? 128 : 64, 16, 33, 70});
    }
  }
}

TEST_F(Prefill, RefusesWhatItCannotDo) {
  PrefillAttention args;
  EXPECT_EQ(prefill_attention(args, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace vortex::cuda
