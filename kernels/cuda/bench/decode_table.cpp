// Attention alone at the shapes at which others' kernels are timed (docs/benchmarks/attention-table.md), by every
// schedule that could win there.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/attention_spread.h"
#include "kernels/cuda/bench/bench.h"

namespace vortex::cuda {
namespace {

constexpr int kHeads = 8;
constexpr int kGroup = 2;
constexpr int kDim = 128;
constexpr int kBlock = 16;
constexpr int kSelectedContext = 16384;   // tokens of a request whose pages are selected
constexpr double kBytesOfLayers = 512e6;  // that the layers read, several times what L2 holds
constexpr int kLeastLayers = 4;

struct Shape {
  int requests;
  int tokens;  // dense; 0: selected
  int pages;   // selected of every row; 0: dense
};

constexpr Shape kShapes[] = {{64, 8192, 0}, {8, 16384, 0}, {1, 32768, 0}, {1, 8192, 0}, {64, 0, 64},
                             {32, 0, 64},   {64, 0, 32},   {32, 0, 32},   {8, 0, 64},   {1, 0, 64}};

std::string describe(const Shape& s) {
  return s.pages > 0 ? std::to_string(s.requests) + " x " + std::to_string(s.pages) + " pages"
                     : std::to_string(s.requests) + " x " + std::to_string(s.tokens) + " tokens";
}

// Several layers' keys and values, each layer with every page in use in the same random order.
class Layers {
 public:
  explicit Layers(const Shape& s) : shape_(s) {
    std::mt19937 random(17);
    const int context = s.pages > 0 ? kSelectedContext : s.tokens;
    max_blocks_ = context / kBlock;
    const int pages = s.requests * max_blocks_;
    const int visited = s.pages > 0 ? s.pages : max_blocks_;
    const int rows = s.requests * kHeads;
    bytes_ = 2.0 * sizeof(Bf16) * kDim * (static_cast<double>(rows) * visited * kBlock + rows * kGroup);
    count_ = std::max(kLeastLayers, static_cast<int>(std::ceil(kBytesOfLayers / bytes_)));
    layer_elements_ = static_cast<std::size_t>(pages) * kHeads * kBlock * kDim;
    const std::size_t all = layer_elements_ * static_cast<std::size_t>(count_) * sizeof(Bf16);
    k_ = random_bytes(all);
    v_ = random_bytes(all);
    q_ = random_bytes(static_cast<std::size_t>(rows * kGroup * kDim) * sizeof(Bf16));
    out_ = DeviceArray<Bf16>(q_.size() / sizeof(Bf16));
    table_ = DeviceArray<std::int32_t>(random_distinct(pages, pages, random));
    lengths_ = DeviceArray<std::int32_t>(std::vector<std::int32_t>(static_cast<std::size_t>(s.requests), context));
    if (s.pages > 0) { select(rows, random); }
  }

  int count() const { return count_; }
  int visited() const { return shape_.pages > 0 ? shape_.pages : max_blocks_; }
  double bytes() const { return bytes_; }

  DecodeAttention args(int layer) const {
    const std::size_t first = static_cast<std::size_t>(layer) * layer_elements_ * sizeof(Bf16);
    DecodeAttention a;
    a.q = reinterpret_cast<const Bf16*>(q_.data());
    a.out = out_.data();
    a.kv = {k_.data() + first, v_.data() + first, KvType::bf16, kHeads, kBlock, kDim, 1.0F, 1.0F};
    a.table = {table_.data(), lengths_.data(), max_blocks_};
    if (shape_.pages > 0) { a.selection = {selected_.data(), counts_.data(), shape_.pages}; }
    a.num_requests = shape_.requests;
    a.num_q_heads = kHeads * kGroup;
    a.scale = 1.0F / std::sqrt(static_cast<float>(kDim));
    return a;
  }

 private:
  void select(int rows, std::mt19937& random) {
    std::vector<std::int32_t> blocks;
    for (int row = 0; row < rows; ++row) {
      std::vector<std::int32_t> chosen = random_distinct(shape_.pages - 1, max_blocks_ - 1, random);
      std::sort(chosen.begin(), chosen.end());
      chosen.push_back(max_blocks_ - 1);
      blocks.insert(blocks.end(), chosen.begin(), chosen.end());
    }
    selected_ = DeviceArray<std::int32_t>(blocks);
    counts_ = DeviceArray<std::int32_t>(std::vector<std::int32_t>(static_cast<std::size_t>(rows), shape_.pages));
  }

  Shape shape_;
  int max_blocks_ = 0;
  int count_ = 0;
  double bytes_ = 0.0;
  std::size_t layer_elements_ = 0;
  DeviceArray<unsigned char> k_, v_, q_;
  DeviceArray<Bf16> out_;
  DeviceArray<std::int32_t> table_, lengths_, selected_, counts_;
};

void measure_rows(Bench& bench, Measurement m, const Layers& layers, const DecodeSchedule& s) {
  m.variant += " w" + std::to_string(s.warps) + " s" + std::to_string(s.slots) + " c" + std::to_string(s.cluster);
  bench.measure(m, layers.count(),
                [&](int layer, cudaStream_t stream) { return decode_attention(layers.args(layer), s, stream); });
}

void measure_spread(Bench& bench, Measurement m, const Layers& layers, const SpreadSchedule& s) {
  m.variant =
      "spread w" + std::to_string(s.warps) + " l" + std::to_string(s.least_tiles) + (s.reads_ahead ? " ahead" : "");
  const DeviceArray<unsigned char> workspace(spread_workspace_bytes(layers.args(0), s));
  check(cudaMemset(workspace.data(), 0, workspace.bytes()), "clear");
  bench.measure(m, layers.count(), [&](int layer, cudaStream_t stream) {
    return spread_attention(layers.args(layer), s, workspace.data(), stream);
  });
}

void measure_shape(Bench& bench, const std::string& name, const Shape& shape) {
  const Layers layers(shape);
  Measurement m;
  m.kernel = name;
  m.shape = describe(shape);
  m.bytes = layers.bytes();
  m.variant = "rows";
  const DecodeSchedule planned = plan_decode_attention(shape.requests * kHeads, layers.visited(), bench.num_sms());
  measure_rows(bench, m, layers, planned);
  if (planned.cluster > 1) { measure_rows(bench, m, layers, {8, 6, planned.cluster}); }  // one on a multiprocessor
  SpreadSchedule s = plan_spread_attention(bench.num_sms());
  for (const int warps : {8, 16}) {
    s.warps = warps;
    for (const int least : {4, 8, 16}) {
      // Only where an even share is less does it matter.
      const int even = shape.requests * kHeads * layers.visited() / s.blocks + 1;
      if (least != 8 && even >= 16) { continue; }
      s.least_tiles = least;
      s.reads_ahead = false;
      measure_spread(bench, m, layers, s);
      s.reads_ahead = true;
      if (shape.pages == 0) { measure_spread(bench, m, layers, s); }
    }
  }
}

}  // namespace

void bench_decode_table(Bench& bench) {
  const std::string name = "decode_table";
  if (!bench.wants(name)) { return; }
  for (const Shape& shape : kShapes) { measure_shape(bench, name, shape); }
}

}  // namespace vortex::cuda
