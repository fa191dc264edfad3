// The skinny matrix product against float64, at every schedule.
#include "kernels/cuda/gemm.h"

#include <cstring>

#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {
namespace {

class Gemm : public DeviceTest {};

struct Product {
  SkinnyGemm args;
  DeviceArray<Bf16> w;
  DeviceArray<Bf16> x;
  DeviceArray<std::uint8_t> y;
  std::vector<Bf16> host_w;
  std::vector<Bf16> host_x;

  Product(int n, int k, int rows, bool fp32, Random& random) {
    const int readable = rows <= 16 ? 16 : rows <= 32 ? 32 : rows <= 64 ? 64 : 128;
    host_w = random_bf16(static_cast<std::size_t>(n * k), random);
    host_x = random_bf16(static_cast<std::size_t>(rows * k), random);
    std::vector<Bf16> padded = host_x;  // rows that do not count are NaN
    padded.resize(static_cast<std::size_t>(readable * k), __float2bfloat16(std::nanf("")));
    w = DeviceArray<Bf16>(host_w);
    x = DeviceArray<Bf16>(padded);
    args.stride = n + 8;
    y = DeviceArray<std::uint8_t>(static_cast<std::size_t>(rows * args.stride) * (fp32 ? 4 : 2));
    args.w = w.data();
    args.x = x.data();
    args.y = y.data();
    args.fp32 = fp32;
    args.n = n;
    args.k = k;
    args.rows = rows;
  }

  double at(const std::vector<std::uint8_t>& bytes, int row, int n) const {
    const auto index = static_cast<std::size_t>(row * args.stride + n);
    float wide = 0;
    Bf16 narrow{};
    if (args.fp32) {
      std::memcpy(&wide, &bytes[index * 4], 4);
      return static_cast<double>(wide);
    }
    std::memcpy(&narrow, &bytes[index * 2], 2);
    return value(narrow);
  }
};

void expect_right(const Product& p, const std::vector<std::uint8_t>& bytes) {
  double error = 0;
  double norm = 0;
  for (int row = 0; row < p.args.rows; ++row) {
    for (int n = 0; n < p.args.n; ++n) {
      double sum = 0;
      for (int k = 0; k < p.args.k; ++k) {
        sum += value(p.host_x[static_cast<std::size_t>(row * p.args.k + k)]) *
               value(p.host_w[static_cast<std::size_t>(n * p.args.k + k)]);
      }
      const double got = p.at(bytes, row, n);
      ASSERT_FALSE(std::isnan(got)) << row << " " << n;
      error += (got - sum) * (got - sum);
      norm += sum * sum;
    }
  }
  EXPECT_LT(std::sqrt(error / norm), p.args.fp32 ? 1e-5 : 4e-3);
}

TEST_F(Gemm, EveryScheduleIsRight) {
  Random random(1);
  for (const int rows : {1, 8, 16, 17, 32, 64, 96, 128}) {
    for (const bool fp32 : {false, true}) {
      Product p(384, 640, rows, fp32, random);
      for (const int warps : {4, 6, 8}) {
        for (const int split : {1, 2, 4, 8}) {
          SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(warps) + " warps, split " +
                       std::to_string(split));
          p.y.poison();
          ASSERT_EQ(skinny_gemm(p.args, {warps, split}, nullptr), cudaSuccess);
          finish();
          expect_right(p, p.y.read());
        }
      }
    }
  }
}

// A row's bits are the same whatever rows come with it.
TEST_F(Gemm, RowsDoNotDependOnTheirNumber) {
  Random random(2);
  Product p(256, 2048, 128, true, random);
  for (const int split : {1, 4}) {
    p.args.rows = 128;
    ASSERT_EQ(skinny_gemm(p.args, {8, split}, nullptr), cudaSuccess);
    finish();
    const std::vector<std::uint8_t> all = p.y.read();
    for (const int rows : {1, 16, 32, 64}) {
      p.args.rows = rows;
      p.y.poison();
      ASSERT_EQ(skinny_gemm(p.args, {8, split}, nullptr), cudaSuccess);
      finish();
      const std::vector<std::uint8_t> some = p.y.read();
      for (int n = 0; n < 256; ++n) EXPECT_EQ(p.at(some, rows - 1, n), p.at(all, rows - 1, n));
    }
  }
}

TEST_F(Gemm, RefusesWhatItCannotDo) {
  SkinnyGemm args;
  EXPECT_EQ(skinny_gemm(args, {}, nullptr), cudaErrorInvalidValue);
  Random random(3);
  Product p(256, 256, 16, false, random);
  EXPECT_EQ(skinny_gemm(p.args, {8, 3}, nullptr), cudaErrorNotSupported);
  p.args.rows = 129;
  EXPECT_EQ(skinny_gemm(p.args, {8, 1}, nullptr), cudaErrorNotSupported);
}

}  // namespace
}  // namespace vortex::cuda
