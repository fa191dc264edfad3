// Products of experts on the device and their sum against float64.
#include "tests/kernels/cuda/router_support.h"

namespace vortex::cuda {
namespace {

class Experts : public DeviceTest {};

struct Sizes {
  int experts = 8;
  int chosen = 2;
  int hidden = 128;
  int inner = 64;
  int shared_inner = 0;
  int rows = 8;
  bool fp8 = false;
};

std::ostream& operator<<(std::ostream& out, const Sizes& s) {
  return out << s.rows << " rows, " << s.chosen << " of " << s.experts << " experts, " << s.hidden << " x " << s.inner
             << ", shared " << s.shared_inner << (s.fp8 ? ", fp8" : "");
}

// Random weights of deviation 1 / sqrt(columns): what they stand for, and what the device gets.
struct HostWeights {
  std::vector<float> values;
  DeviceArray<std::uint8_t> bytes;
  DeviceArray<float> scales;

  HostWeights(int rows, int columns, bool fp8, Random& random) {
    const auto width = static_cast<std::size_t>(columns);
    const float deviation = 1.0F / std::sqrt(static_cast<float>(std::max(1, columns)));
    values = random_floats(static_cast<std::size_t>(rows) * width, random, fp8 ? 32.0F : deviation);
    std::vector<float> factors(static_cast<std::size_t>(rows / kScaleBlock * columns / kScaleBlock));
    for (float& factor : factors) { factor = deviation / 32.0F * std::exp2(normal(random)); }
    std::vector<std::uint8_t> stored;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const KvType type = fp8 ? KvType::fp8_e4m3 : KvType::bf16;
      const std::uint32_t bits = encode(values[i], type);
      values[i] = decode(bits, type);
      stored.push_back(static_cast<std::uint8_t>(bits));
      if (!fp8) { stored.push_back(static_cast<std::uint8_t>(bits >> 8)); }
      if (fp8) { values[i] *= factors[i / width / kScaleBlock * (width / kScaleBlock) + i % width / kScaleBlock]; }
    }
    bytes = DeviceArray<std::uint8_t>(stored);
    scales = DeviceArray<float>(factors);
  }

  ExpertWeights on_device(bool fp8) const { return {bytes.data(), fp8 ? scales.data() : nullptr}; }
};

// A layer with random weights; its choices are random, too, or what the caller sets.
class Layer {
 public:
  Layer(const Sizes& sizes, Random& random)
      : s_(sizes),
        router_(rule(sizes), sizes.rows, sizes.shared_inner > 0),
        gate_up_(s_.experts * 2 * s_.inner, s_.hidden, s_.fp8, random),
        down_(s_.experts * s_.hidden, s_.inner, s_.fp8, random),
        shared_gate_up_(2 * s_.shared_inner, s_.hidden, s_.fp8, random),
        shared_down_(s_.hidden, s_.shared_inner, s_.fp8, random) {
    x_ = random_bf16(static_cast<std::size_t>(s_.rows * s_.hidden), random);
    logits_ = random_floats(static_cast<std::size_t>(s_.rows * s_.experts), random);
    device_x_ = DeviceArray<Bf16>(x_);
    mlp_.gate_up = gate_up_.on_device(s_.fp8);
    mlp_.down = down_.on_device(s_.fp8);
    mlp_.shared_gate_up = shared_gate_up_.on_device(s_.fp8);
    mlp_.shared_down = shared_down_.on_device(s_.fp8);
    mlp_.experts = s_.experts;
    mlp_.chosen = s_.chosen;
    mlp_.hidden = s_.hidden;
    mlp_.inner = s_.inner;
    mlp_.shared_inner = s_.shared_inner;
    mlp_.blocks = 132;
    mlp_.plan = router_.args.plan;
    mlp_.rows = s_.rows;
    inner_ = DeviceArray<Bf16>(static_cast<std::size_t>(expert_inner_elements(mlp_)));
    answers_ = DeviceArray<float>(static_cast<std::size_t>(s_.rows * slots() * s_.hidden));
    out_ = DeviceArray<Bf16>(x_.size());
    mlp_.inner_rows = inner_.data();
    mlp_.answers = answers_.data();
  }

  std::vector<float>& logits() { return logits_; }
  std::vector<Bf16>& x() { return x_; }
  TestedRouter& router() { return router_; }
  int& blocks() { return mlp_.blocks; }

  // The first `rows` rows through all kernels but the router's product.
  std::vector<Bf16> run(int rows, const ExpertSchedule& schedule = {}) {
    router_.logits.write(logits_);
    device_x_.write(x_);
    inner_.poison();
    answers_.poison();
    out_.poison();
    enqueue(rows, schedule, nullptr);
    return finished(rows);
  }

  // Captures what run() enqueues, for logits that come later.
  cudaGraphExec_t capture(int rows) {
    cudaStream_t stream{};
    cudaGraph_t graph{};
    cudaGraphExec_t executable{};
    EXPECT_EQ(cudaStreamCreate(&stream), cudaSuccess);
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    enqueue(rows, {}, stream);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    return executable;
  }

  std::vector<Bf16> replay(cudaGraphExec_t graph, int rows) {
    router_.logits.write(logits_);
    out_.poison();
    EXPECT_EQ(cudaGraphLaunch(graph, nullptr), cudaSuccess);
    return finished(rows);
  }

  // In float64, but for the inner elements' rounding.
  std::vector<double> expected(int rows) const {
    const std::vector<std::int32_t> experts = router_.experts.read();
    const std::vector<float> weights = router_.weights.read();
    std::vector<double> all;
    for (int row = 0; row < rows; ++row) {
      std::vector<double> sum(hidden(), 0.0);
      for (int slot = 0; slot < s_.chosen && router_.is_active(row); ++slot) {
        const auto at = static_cast<std::size_t>(row * s_.chosen + slot);
        const auto expert = static_cast<std::size_t>(experts[at]);
        const std::size_t width = 2 * static_cast<std::size_t>(s_.inner);
        add(row, s_.inner, &gate_up_.values[expert * width * hidden()],
            &down_.values[expert * hidden() * static_cast<std::size_t>(s_.inner)], static_cast<double>(weights[at]),
            sum);
      }
      if (s_.shared_inner > 0 && router_.is_active(row)) {
        add(row, s_.shared_inner, shared_gate_up_.values.data(), shared_down_.values.data(), 1.0, sum);
      }
      all.insert(all.end(), sum.begin(), sum.end());
    }
    return all;
  }

 private:
  void enqueue(int rows, const ExpertSchedule& schedule, cudaStream_t stream) {
    router_.args.rows = rows;
    mlp_.rows = rows;
    mlp_.x = device_x_.data();
    EXPECT_EQ(plan_experts(router_.args, stream), cudaSuccess);
    EXPECT_EQ(expert_gate_up(mlp_, schedule, stream), cudaSuccess);
    EXPECT_EQ(expert_down(mlp_, schedule, stream), cudaSuccess);
    const CombineExperts combine{
        answers_.data(), router_.weights.data(), router_.args.active, out_.data(), rows, s_.chosen,
        s_.hidden,       s_.shared_inner > 0};
    EXPECT_EQ(combine_experts(combine, stream), cudaSuccess);
  }

  std::vector<Bf16> finished(int rows) {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    std::vector<Bf16> out = out_.read();
    out.resize(static_cast<std::size_t>(rows * s_.hidden));
    return out;
  }

  static cpu::ExpertRule rule(const Sizes& s) {
    cpu::ExpertRule rule = rule_of(s.experts, s.chosen, true);
    rule.normalised = true;
    return rule;
  }
  int slots() const { return s_.chosen + (s_.shared_inner > 0 ? 1 : 0); }
  std::size_t hidden() const { return static_cast<std::size_t>(s_.hidden); }

  void add(int row, int inner, const float* gate_up, const float* down, double weight, std::vector<double>& sum) const {
    std::vector<double> x;
    for (std::size_t h = 0; h < hidden(); ++h) { x.push_back(value(x_[static_cast<std::size_t>(row) * hidden() + h])); }
    const auto dot = [](const float* a, const std::vector<double>& b) {
      double total = 0;
      for (std::size_t i = 0; i < b.size(); ++i) { total += static_cast<double>(a[i]) * b[i]; }
      return total;
    };
    const auto width = static_cast<std::size_t>(inner);
    std::vector<double> middle(width);
    for (std::size_t i = 0; i < width; ++i) {
      const double gate = dot(gate_up + i * hidden(), x);
      middle[i] = value(__double2bfloat16(gate / (1 + std::exp(-gate)) * dot(gate_up + (width + i) * hidden(), x)));
    }
    for (std::size_t h = 0; h < hidden(); ++h) { sum[h] += weight * dot(down + h * width, middle); }
  }

  Sizes s_;
  TestedRouter router_;
  HostWeights gate_up_, down_, shared_gate_up_, shared_down_;
  std::vector<Bf16> x_;
  std::vector<float> logits_;
  DeviceArray<Bf16> device_x_, inner_, out_;
  DeviceArray<float> answers_;
  ExpertMlp mlp_;
};

void expect_right(Layer& layer, int rows, const ExpertSchedule& schedule = {}) {
  const std::vector<double> got = values(layer.run(rows, schedule));
  const std::vector<double> expected = layer.expected(rows);
  const double error = relative_error(got, expected);
  EXPECT_LT(error, 4e-3);
  if (error < 4e-3) { return; }
  for (std::size_t i = 0; i < got.size(); ++i) {  // false for what is no number
    if (!(std::abs(got[i] - expected[i]) < 0.05)) {
      ADD_FAILURE() << "first at " << i << " of " << got.size() << ": " << got[i] << ", not " << expected[i];
      return;
    }
  }
}

bool same_bits(const Bf16* a, const Bf16* b, std::size_t count) {
  return std::equal(a, a + count, b, [](Bf16 x, Bf16 y) { return __bfloat16_as_ushort(x) == __bfloat16_as_ushort(y); });
}

TEST_F(Experts, ProductsAgreeWithFloat64) {
  Random random(11);
  for (const Sizes& sizes : {Sizes{8, 2, 128, 64, 0, 1},
                             {8, 2, 128, 64, 64, 8},
                             {4, 1, 64, 16, 32, 5},
                             {16, 4, 192, 48, 0, 16},
                             {64, 4, 256, 128, 128, 32},
                             {6, 3, 336, 80, 144, 33},
                             {64, 8, 128, 192, 0, 128},
                             {256, 8, 144, 32, 0, 20},
                             {8, 2, 1040, 272, 0, 12},
                             {2, 1, 64, 64, 0, 128},
                             {1, 1, 64, 64, 0, 70},
                             {2, 1, 3072, 1536, 0, 4},
                             {4, 2, 2048, 1536, 1536, 16}}) {  // a shared expert longer than what is fetched early
    SCOPED_TRACE(testing::Message() << sizes);
    Layer layer(sizes, random);
    expect_right(layer, sizes.rows);
  }
}

TEST_F(Experts, ProductsOfFp8WeightsAgreeWithFloat64) {
  Random random(17);
  for (const Sizes& sizes : {Sizes{4, 2, 128, 128, 0, 1, true},
                             {8, 2, 256, 128, 256, 8, true},
                             {16, 4, 384, 256, 128, 16, true},
                             {8, 3, 1280, 384, 0, 32, true},
                             {4, 2, 128, 256, 128, 128, true},
                             {64, 8, 128, 128, 0, 70, true}}) {
    SCOPED_TRACE(testing::Message() << sizes);
    Layer layer(sizes, random);
    expect_right(layer, sizes.rows);
  }
}

void every_schedule(const Sizes& sizes, Random& random) {
  SCOPED_TRACE(testing::Message() << sizes);
  Layer layer(sizes, random);
  const std::vector<Bf16> first = layer.run(sizes.rows);
  for (const int outputs : {16, 32, 64}) {
    SCOPED_TRACE(testing::Message() << outputs << " outputs");
    expect_right(layer, sizes.rows, {outputs, outputs});
    const std::vector<Bf16> bits = layer.run(sizes.rows, {outputs, outputs});
    EXPECT_TRUE(same_bits(bits.data(), first.data(), first.size()));
  }
  layer.blocks() = 3;  // each works off many items
  const std::vector<Bf16> few = layer.run(sizes.rows);
  EXPECT_TRUE(same_bits(few.data(), first.data(), first.size()));
}

TEST_F(Experts, EveryScheduleGivesTheSameBits) {
  Random random(12);
  for (const int rows : {3, 12, 40, -3, -12, -40}) {
    const bool fp8 = rows < 0;
    every_schedule(fp8 ? Sizes{4, 2, 384, 128, 128, -rows, true} : Sizes{8, 2, 400, 144, 80, rows}, random);
  }
}

// Whatever comes with a row, and however often it is computed.
void expect_independence(bool fp8) {
  Random random(13);
  constexpr std::size_t kHidden = 384;
  Layer layer({16, 4, static_cast<int>(kHidden), 128, 128, 128, fp8}, random);
  const std::vector<Bf16> all = layer.run(128);
  for (int i = 0; i < 20; ++i) {
    const std::vector<Bf16> again = layer.run(128);
    ASSERT_TRUE(same_bits(again.data(), all.data(), all.size())) << "rerun " << i;
  }
  for (const int rows : {1, 2, 8, 9, 16, 31, 33, 100}) {
    const std::vector<Bf16> some = layer.run(rows);
    EXPECT_TRUE(same_bits(some.data(), all.data(), some.size())) << rows << " rows";
  }
  // The last row first, and the others behind it.
  const std::vector<Bf16> x = layer.x();
  const std::vector<float> logits = layer.logits();
  std::copy(x.end() - kHidden, x.end(), layer.x().begin());
  std::copy(logits.end() - 16, logits.end(), layer.logits().begin());
  for (const int rows : {1, 5, 64}) {
    const std::vector<Bf16> moved = layer.run(rows);
    EXPECT_TRUE(same_bits(moved.data(), &all[127 * kHidden], kHidden)) << rows << " rows";
  }
}

TEST_F(Experts, CompanyChangesNoBitOfARow) {
  expect_independence(false);
  expect_independence(true);
}

// One expert may get all rows or none; rows that are not active neither cost an expert nor change a bit.
TEST_F(Experts, UnevenChoicesAndPoisonedRows) {
  Random random(14);
  constexpr std::size_t kHidden = 128;
  for (const int rows : {9, 64, 128}) {
    SCOPED_TRACE(rows);
    Layer layer({8, 2, static_cast<int>(kHidden), 64, 64, rows}, random);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) { layer.logits()[row * 8 + 5] = 50.0F; }
    expect_right(layer, rows);
    const std::vector<Bf16> clean = layer.run(rows);
    std::vector<std::uint8_t> active(static_cast<std::size_t>(rows), 1);
    for (const std::size_t row : {2U, 7U, 8U}) {
      active[row] = 0;
      std::fill_n(layer.x().begin() + static_cast<std::ptrdiff_t>(row * kHidden), kHidden, __float2bfloat16(kNan));
      std::fill_n(layer.logits().begin() + static_cast<std::ptrdiff_t>(row * 8), 8, kNan);
    }
    layer.router().set_active(active);
    const std::vector<Bf16> some = layer.run(rows);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      const Bf16* now = &some[row * kHidden];
      if (active[row] != 0) {
        EXPECT_TRUE(same_bits(now, &clean[row * kHidden], kHidden)) << "row " << row;
      } else {
        EXPECT_TRUE(std::all_of(now, now + kHidden, [](Bf16 v) { return __bfloat16_as_ushort(v) == 0; })) << row;
      }
    }
  }
}

TEST_F(Experts, AGraphFollowsTheChoicesOfItsReplay) {
  Random random(15);
  Layer layer({32, 4, 256, 64, 64, 16}, random);
  const cudaGraphExec_t graph = layer.capture(16);
  std::vector<Bf16> before;
  for (int i = 0; i < 4; ++i) {
    layer.logits() = random_floats(16 * 32, random);
    if (i == 2) {  // all to one expert
      for (std::size_t row = 0; row < 16; ++row) { layer.logits()[row * 32 + 9] = 40.0F; }
    }
    const std::vector<Bf16> eager = layer.run(16);
    const std::vector<Bf16> replayed = layer.replay(graph, 16);
    EXPECT_TRUE(same_bits(replayed.data(), eager.data(), eager.size())) << i;
    EXPECT_FALSE(i > 0 && same_bits(before.data(), eager.data(), eager.size())) << "the choice changed nothing";
    before = eager;
  }
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
}

TEST_F(Experts, ManyRowsAreRight) {
  Random random(16);
  for (const Sizes& sizes : {Sizes{8, 2, 64, 32, 48, 1024}, {64, 4, 64, 64, 0, 600}, {3, 3, 80, 64, 16, 257}}) {
    SCOPED_TRACE(testing::Message() << sizes);
    Layer layer(sizes, random);
    expect_right(layer, sizes.rows);
  }
}

TEST_F(Experts, RefusesWhatItCannotDo) {
  EXPECT_EQ(router_logits({}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(plan_experts({}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(expert_gate_up({}, {}, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(combine_experts({}, nullptr), cudaErrorInvalidValue);
  ExpertMlp mlp;
  mlp.rows = 4;
  mlp.experts = 8;
  mlp.chosen = 2;
  mlp.hidden = 64;
  mlp.inner = 32;
  EXPECT_TRUE(experts_support(mlp));
  mlp.inner = 24;
  EXPECT_FALSE(experts_support(mlp));
  mlp.inner = 32;
  mlp.experts = kMaxExperts + 1;
  EXPECT_FALSE(experts_support(mlp));
}

}  // namespace
}  // namespace vortex::cuda
