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

  Product(int n, int k, int rows, Random& random) {
    host_w = random_bf16(static_cast<std::size_t>(n * k), random);
    host_x = random_bf16(static_cast<std::size_t>(rows * k), random);
    std::vector<Bf16> padded = host_x;  // rows that do not count are NaN
    padded.resize(static_cast<std::size_t>((rows + 8) * k), __float2bfloat16(std::nanf("")));
    w = DeviceArray<Bf16>(host_w);
    x = DeviceArray<Bf16>(padded);
    args.stride = n + 8;
    y = DeviceArray<std::uint8_t>(static_cast<std::size_t>(rows * args.stride) * 4);
    args.w = w.data();
    args.x = x.data();
    args.y = y.data();
    args.n = n;
    args.k = k;
    args.rows = rows;
  }

  int columns() const { return args.swiglu ? args.n / 2 : args.n; }

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

  double exact(int row, int n) const {
    double sum = 0;
    for (int k = 0; k < args.k; ++k) {
      sum += value(host_x[static_cast<std::size_t>(row * args.k + k)]) *
             value(host_w[static_cast<std::size_t>(n * args.k + k)]);
    }
    return sum;
  }

  std::vector<double> expected() const {
    std::vector<double> all;
    for (int row = 0; row < args.rows; ++row) {
      for (int n = 0; n < columns(); ++n) {
        const double sum = exact(row, n);
        all.push_back(args.swiglu ? sum / (1 + std::exp(-sum)) * exact(row, n + columns()) : sum);
      }
    }
    return all;
  }
};

void expect_right(const Product& p, const std::vector<double>& expected, const std::vector<std::uint8_t>& bytes) {
  double error = 0;
  double norm = 0;
  for (int row = 0; row < p.args.rows; ++row) {
    for (int n = 0; n < p.columns(); ++n) {
      const double want = expected[static_cast<std::size_t>(row * p.columns() + n)];
      const double got = p.at(bytes, row, n);
      ASSERT_FALSE(std::isnan(got)) << row << " " << n;
      error += (got - want) * (got - want);
      norm += want * want;
    }
  }
  EXPECT_LT(std::sqrt(error / norm), p.args.fp32 ? 1e-5 : p.args.swiglu ? 1e-2 : 4e-3);
}

// Every schedule that the kernel takes for these arguments.
std::vector<SkinnySchedule> schedules(const SkinnyGemm& args) {
  std::vector<SkinnySchedule> found;
  for (const int groups : {1, 2, 4}) {
    for (const int split : {1, 2, 4, 8}) {
      if (skinny_gemm_supports(args, {groups, split})) { found.push_back({groups, split}); }
    }
  }
  return found;
}

TEST_F(Gemm, EveryScheduleIsRight) {
  Random random(1);
  for (const int rows : {1, 8, 32, 33, 64, 96, 128}) {
    Product p(512, 640, rows, random);
    for (const bool swiglu : {false, true}) {
      p.args.swiglu = swiglu;
      for (const bool fp32 : {false, true}) {
        p.args.fp32 = fp32;
        const std::vector<SkinnySchedule> all = schedules(p.args);
        ASSERT_EQ(all.size(), swiglu && fp32 ? 0U : swiglu ? 8U : 12U);
        const std::vector<double> expected = all.empty() ? std::vector<double>() : p.expected();
        for (const SkinnySchedule& schedule : all) {
          SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(schedule.groups) + " groups, split " +
                       std::to_string(schedule.split) + (swiglu ? ", SwiGLU" : "") + (fp32 ? ", fp32" : ""));
          p.y.poison();
          ASSERT_EQ(skinny_gemm(p.args, schedule, nullptr), cudaSuccess);
          finish();
          expect_right(p, expected, p.y.read());
        }
      }
    }
  }
}

// A row's bits are the same whatever rows come with it.
TEST_F(Gemm, RowsDoNotDependOnTheirNumber) {
  Random random(2);
  Product p(256, 2048, 128, random);
  p.args.fp32 = true;
  for (const int split : {1, 4}) {
    p.args.rows = 128;
    ASSERT_EQ(skinny_gemm(p.args, {2, split}, nullptr), cudaSuccess);
    finish();
    const std::vector<std::uint8_t> all = p.y.read();
    for (const int rows : {1, 16, 32, 64}) {
      p.args.rows = rows;
      p.y.poison();
      ASSERT_EQ(skinny_gemm(p.args, {2, split}, nullptr), cudaSuccess);
      finish();
      const std::vector<std::uint8_t> some = p.y.read();
      for (int n = 0; n < 256; ++n) { EXPECT_EQ(p.at(some, rows - 1, n), p.at(all, rows - 1, n)); }
    }
  }
}

// Weights are fetched early, inputs are not: a chain in which each product's input is the output of the one before.
TEST_F(Gemm, WaitsForItsInput) {
  Random random(4);
  Product p(512, 512, 64, random);
  p.args.stride = 512;
  DeviceArray<Bf16> between(static_cast<std::size_t>(64 * 512));
  SkinnyGemm second = p.args;
  second.x = between.data();
  p.args.y = between.data();
  ASSERT_EQ(skinny_gemm(p.args, {2, 4}, nullptr), cudaSuccess);
  finish();
  ASSERT_EQ(skinny_gemm(second, {1, 8}, nullptr), cudaSuccess);
  finish();
  const std::vector<std::uint8_t> alone = p.y.read();
  for (int i = 0; i < 20; ++i) {
    between.poison();
    ASSERT_EQ(skinny_gemm(p.args, {2, 4}, nullptr), cudaSuccess);
    ASSERT_EQ(skinny_gemm(second, {1, 8}, nullptr), cudaSuccess);
    finish();
    const std::vector<std::uint8_t> chained = p.y.read();
    for (int n = 0; n < 512; ++n) { ASSERT_EQ(p.at(chained, 63, n), p.at(alone, 63, n)); }
  }
}

TEST_F(Gemm, RefusesWhatItCannotDo) {
  SkinnyGemm args;
  EXPECT_EQ(skinny_gemm(args, {}, nullptr), cudaErrorInvalidValue);
  Random random(3);
  Product p(256, 256, 16, random);
  EXPECT_EQ(skinny_gemm(p.args, {2, 3}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(skinny_gemm(p.args, {3, 1}, nullptr), cudaErrorNotSupported);
  p.args.rows = kMaxSkinnyRows + 1;
  EXPECT_EQ(skinny_gemm(p.args, {2, 1}, nullptr), cudaErrorNotSupported);
}

}  // namespace
}  // namespace vortex::cuda
