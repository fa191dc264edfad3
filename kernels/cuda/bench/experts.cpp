// A layer of experts at the geometry of published models: all of it, and its parts. Bytes are the weights of the
// experts that the rows of a set touch, on average, and the router's.
#include "kernels/cuda/experts.h"

#include <algorithm>
#include <iterator>

#include "kernels/cuda/bench/bench.h"

namespace vortex::cuda {
namespace {

constexpr int kSets = 8;  // of rows, so that a step touches other experts than the one before

struct Geometry {
  const char* name;
  int experts, chosen, hidden, inner, shared_inner;
  bool sigmoid;
  bool fp8 = false;
};

constexpr Geometry kGeometries[] = {
    {"GLM-4.7-Flash", 64, 4, 2048, 1536, 1536, true, false},    {"MiniMax-M2", 256, 8, 3072, 1536, 0, true, false},
    {"GLM-4.7-Flash fp8", 64, 4, 2048, 1536, 1536, true, true}, {"MiniMax-M2 fp8", 256, 8, 3072, 1536, 0, true, true},
    {"Qwen3-30B-A3B", 128, 8, 2048, 768, 0, false, false},
};

constexpr const char* kKernels[] = {"moe_layer", "moe_route", "moe_gate_up", "moe_down", "moe_combine"};

template <class T>
DeviceArray<T> zeros(std::size_t count) {
  return DeviceArray<T>(std::vector<T>(count));
}

// The weights of a layer.
struct Weights {
  DeviceArray<float> router, scales;
  DeviceArray<unsigned char> gate_up, down, shared_gate_up, shared_down;
};

Weights random_weights(const Geometry& g) {
  const auto matrix = [&](int rows, int columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) * (g.fp8 ? 1 : sizeof(Bf16));
  };
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<float> router(static_cast<std::size_t>(g.experts) * static_cast<std::size_t>(g.hidden));
  for (float& x : router) { x = normal(random); }
  Weights w;
  w.router = DeviceArray<float>(router);
  const int blocks = g.experts * 2 * g.inner / kScaleBlock * g.hidden / kScaleBlock;
  w.scales = DeviceArray<float>(std::vector<float>(static_cast<std::size_t>(blocks), 0.01F));
  w.gate_up = random_bytes(matrix(g.experts * 2 * g.inner, g.hidden));
  w.down = random_bytes(matrix(g.experts * g.hidden, g.inner));
  if (g.shared_inner > 0) {
    w.shared_gate_up = random_bytes(matrix(2 * g.shared_inner, g.hidden));
    w.shared_down = random_bytes(matrix(g.hidden, g.shared_inner));
  }
  return w;
}

// One set of rows with what a layer makes of them.
class Layer {
 public:
  Layer(const Geometry& g, const Weights& w, int rows, int blocks, unsigned seed)
      : inner_(static_cast<std::size_t>(rows) * static_cast<std::size_t>(g.chosen * g.inner + g.shared_inner)),
        answers_(static_cast<std::size_t>(rows) * static_cast<std::size_t>((g.chosen + 1) * g.hidden)),
        out_(static_cast<std::size_t>(rows) * static_cast<std::size_t>(g.hidden)),
        logits_(static_cast<std::size_t>(rows * g.experts)),
        weights_(static_cast<std::size_t>(rows * g.chosen)),
        experts_(weights_.size()),
        order_(weights_.size()),
        tiles_(kMaxExpertTiles),
        counts_(zeros<std::int32_t>(2)),
        touched_(zeros<unsigned long long>(1)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<Bf16> x(out_.size());
    for (Bf16& value : x) { value = __float2bfloat16(normal(random)); }
    x_ = DeviceArray<Bf16>(x);
    fill(g, w, rows, blocks);
  }

  cudaError_t route(cudaStream_t stream) const {
    const cudaError_t error = router_logits(route_, stream);
    return error == cudaSuccess ? plan_experts(route_, stream) : error;
  }
  cudaError_t gate_up(const ExpertSchedule& schedule, cudaStream_t stream) const {
    return expert_gate_up(mlp_, schedule, stream);
  }
  cudaError_t down(const ExpertSchedule& schedule, cudaStream_t stream) const {
    return expert_down(mlp_, schedule, stream);
  }
  cudaError_t combine(cudaStream_t stream) const { return combine_experts(combine_, stream); }

  // All of it, in order.
  cudaError_t run(cudaStream_t stream) const {
    cudaError_t error = route(stream);
    if (error == cudaSuccess) { error = gate_up({}, stream); }
    if (error == cudaSuccess) { error = down({}, stream); }
    return error == cudaSuccess ? combine(stream) : error;
  }

  int touched() {
    touched_.write({0});
    route_.touched = touched_.data();
    check(run(nullptr), "a layer of experts");
    check(cudaDeviceSynchronize(), "a layer of experts");
    route_.touched = nullptr;
    return static_cast<int>(touched_.read()[0]);
  }

 private:
  void fill(const Geometry& g, const Weights& w, int rows, int blocks) {
    const ExpertPlan plan{experts_.data(), weights_.data(), order_.data(), tiles_.data(), counts_.data()};
    route_.x = x_.data();
    route_.router = w.router.data();
    route_.rule.experts = g.experts;
    route_.rule.chosen = g.chosen;
    route_.rule.sigmoid = g.sigmoid;
    route_.rule.normalised = true;
    route_.rows = rows;
    route_.hidden = g.hidden;
    route_.shared = g.shared_inner > 0;
    route_.logits = logits_.data();
    route_.arrived = reinterpret_cast<std::uint32_t*>(counts_.data() + 1);
    route_.plan = plan;
    const float* scales = g.fp8 ? w.scales.data() : nullptr;
    mlp_.gate_up = {w.gate_up.data(), scales};
    mlp_.down = {w.down.data(), scales};
    mlp_.shared_gate_up = {w.shared_gate_up.data(), scales};
    mlp_.shared_down = {w.shared_down.data(), scales};
    mlp_.x = x_.data();
    mlp_.inner_rows = inner_.data();
    mlp_.answers = answers_.data();
    mlp_.plan = plan;
    mlp_.rows = rows;
    mlp_.experts = g.experts;
    mlp_.chosen = g.chosen;
    mlp_.hidden = g.hidden;
    mlp_.inner = g.inner;
    mlp_.shared_inner = g.shared_inner;
    mlp_.blocks = blocks;
    combine_ = {answers_.data(), weights_.data(), nullptr, out_.data(), rows, g.chosen, g.hidden, g.shared_inner > 0};
  }

  DeviceArray<Bf16> x_, inner_;
  DeviceArray<float> answers_;
  DeviceArray<Bf16> out_;
  DeviceArray<float> logits_, weights_;
  DeviceArray<std::int32_t> experts_, order_;
  DeviceArray<ExpertTile> tiles_;
  DeviceArray<std::int32_t> counts_;
  DeviceArray<unsigned long long> touched_;
  RouteExperts route_;
  ExpertMlp mlp_;
  CombineExperts combine_;
};

void bench_layer(Bench& bench, const Geometry& g, const Weights& w, int rows) {
  std::vector<Layer> layers;
  double touched = 0;
  for (unsigned set = 0; set < kSets; ++set) {
    layers.emplace_back(g, w, rows, bench.num_sms(), 100 + set);
    touched += static_cast<double>(layers.back().touched()) / kSets;
  }
  const double matrix =
      (g.fp8 ? 1.0 : 2.0) * g.hidden * (touched * g.inner + g.shared_inner);  // down; gate and up are two of them
  const double router = 4.0 * g.hidden * g.experts;
  const std::string shape = std::string(g.name) + " B=" + std::to_string(rows);
  const auto layer = [&](int set) -> const Layer& { return layers[static_cast<std::size_t>(set)]; };
  const auto measure = [&](const char* kernel, const std::string& variant, double bytes, const auto& call) {
    if (!bench.wants(kernel)) { return; }
    bench.measure({kernel, shape, variant, bytes}, kSets,
                  [&](int i, cudaStream_t stream) { return call(layer(i), stream); });
  };
  char experts[32];
  std::snprintf(experts, sizeof(experts), "%.1f touched", touched);
  measure("moe_layer", experts, 3 * matrix + router, [](const Layer& l, cudaStream_t s) { return l.run(s); });
  measure("moe_route", "", router, [](const Layer& l, cudaStream_t s) { return l.route(s); });
  for (const int outputs : {0, 16, 32, 64}) {
    if (outputs > 0 && !bench.sweep()) { break; }
    const std::string variant = outputs > 0 ? std::to_string(outputs) + " outputs" : "";
    const ExpertSchedule schedule{outputs, outputs};
    measure("moe_gate_up", variant, 2 * matrix, [&](const Layer& l, cudaStream_t s) { return l.gate_up(schedule, s); });
    measure("moe_down", variant, matrix, [&](const Layer& l, cudaStream_t s) { return l.down(schedule, s); });
  }
  measure("moe_combine", "", 0, [](const Layer& l, cudaStream_t s) { return l.combine(s); });
}

}  // namespace

void bench_experts(Bench& bench) {
  const auto wanted = [&](const char* kernel) { return bench.wants(kernel); };
  if (std::none_of(std::begin(kKernels), std::end(kKernels), wanted)) { return; }
  for (const Geometry& g : kGeometries) {
    const Weights w = random_weights(g);
    for (const int rows : {1, 8, 32, 128}) { bench_layer(bench, g, w, rows); }
  }
}

}  // namespace vortex::cuda
