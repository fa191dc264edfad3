#include "kernels/cuda/attention.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/cuda/bench/bench.h"
#include "kernels/cuda/select_attend.h"

namespace vortex::cuda {
namespace {

struct Shape {
  int requests;
  int length;
  int pages = 0;  // selected per row; 0 is dense
  KvType type = KvType::bf16;
  int group = 2;
  int dim = 128;
  int block = 16;
  bool mixed = false;  // lengths spread evenly from 1/8 to 15/8 of `length`
};

constexpr int kHeads = 8;
constexpr int kSets = 4;
const char* const kTypeNames[] = {"bf16", "e4m3", "e5m2", "fp32"};

std::string describe(const Shape& s) {
  std::string text = std::to_string(s.requests) + "x" + std::to_string(s.length);
  if (s.mixed) { text += " mixed"; }
  text += s.pages > 0 ? " sel " + std::to_string(s.pages) : " dense";
  text += " " + std::string(kTypeNames[static_cast<int>(s.type)]);
  if (s.group != 2) { text += " G" + std::to_string(s.group); }
  if (s.dim != 128) { text += " D" + std::to_string(s.dim); }
  if (s.block != 16) { text += " block " + std::to_string(s.block); }
  return text;
}

// The device's side of one shape: a pool with every page in use, shuffled, and kSets random selections.
struct Problem {
  Shape shape;
  int max_blocks = 0;
  double bytes = 0.0;
  DeviceArray<unsigned char> k, v, q;
  DeviceArray<Bf16> out;
  DeviceArray<std::int32_t> pages, lengths, counts;
  std::vector<DeviceArray<std::int32_t>> selected;

  explicit Problem(const Shape& s) : shape(s) {
    std::mt19937 random(11);
    std::vector<std::int32_t> host_lengths;
    int total = 0;
    for (int b = 0; b < s.requests; ++b) {
      const int length = s.mixed ? s.length / 8 + s.length * 14 / 8 * b / std::max(1, s.requests - 1) : s.length;
      host_lengths.push_back(length);
      total += (length + s.block - 1) / s.block;
      max_blocks = std::max(max_blocks, (length + s.block - 1) / s.block);
    }
    const std::vector<std::int32_t> order = random_distinct(total, total, random);
    std::vector<std::int32_t> table(static_cast<std::size_t>(s.requests * max_blocks));
    std::size_t next = 0;
    for (int b = 0; b < s.requests; ++b) {
      const int blocks = (host_lengths[static_cast<std::size_t>(b)] + s.block - 1) / s.block;
      for (int i = 0; i < blocks; ++i) { table[static_cast<std::size_t>(b * max_blocks + i)] = order[next++]; }
    }
    const double token_bytes = 2.0 * s.dim * kv_type_size(s.type);
    const std::size_t pool = static_cast<std::size_t>(total) * static_cast<std::size_t>(kHeads * s.block * s.dim) *
                             static_cast<std::size_t>(kv_type_size(s.type));
    k = random_bytes(pool);
    v = random_bytes(pool);
    q = random_bytes(static_cast<std::size_t>(s.requests * kHeads * s.group * s.dim) * 2);
    out = DeviceArray<Bf16>(q.size() / 2);
    pages = DeviceArray<std::int32_t>(table);
    lengths = DeviceArray<std::int32_t>(host_lengths);
    const double rows = s.requests * kHeads;
    const double visited = s.pages > 0 ? rows * s.pages : static_cast<double>(total) * kHeads;
    bytes =
        visited * (s.block * token_bytes + 4.0 * (s.pages > 0 ? 2.0 : 1.0 / kHeads)) + 2.0 * rows * s.group * s.dim * 2;
    if (s.pages > 0) { select(random); }
  }

  void select(std::mt19937& random) {
    const auto rows = static_cast<std::size_t>(shape.requests * kHeads);
    counts = DeviceArray<std::int32_t>(std::vector<std::int32_t>(rows, shape.pages));
    for (int set = 0; set < kSets; ++set) {
      std::vector<std::int32_t> blocks;
      for (std::size_t row = 0; row < rows; ++row) {
        std::vector<std::int32_t> chosen = random_distinct(shape.pages - 1, max_blocks - 1, random);
        std::sort(chosen.begin(), chosen.end());
        chosen.push_back(max_blocks - 1);
        blocks.insert(blocks.end(), chosen.begin(), chosen.end());
      }
      selected.emplace_back(blocks);
    }
  }

  DecodeAttention args(int set) const {
    DecodeAttention a;
    a.q = reinterpret_cast<const Bf16*>(q.data());
    a.out = out.data();
    a.kv = {k.data(), v.data(), shape.type, kHeads, shape.block, shape.dim, 1.0F, 1.0F};
    a.table = {pages.data(), lengths.data(), max_blocks};
    if (shape.pages > 0) { a.selection = {selected[static_cast<std::size_t>(set)].data(), counts.data(), shape.pages}; }
    a.num_requests = shape.requests;
    a.num_q_heads = kHeads * shape.group;
    a.scale = 1.0F / std::sqrt(static_cast<float>(shape.dim));
    return a;
  }
};

void measure(Bench& bench, const Problem& p, const DecodeSchedule& s, bool planned,
             const std::string& name = "attention") {
  Measurement m;
  m.kernel = name;
  m.shape = describe(p.shape);
  m.variant = std::string(planned ? "plan " : "") + "w" + std::to_string(s.warps) + " s" + std::to_string(s.slots) +
              " c" + std::to_string(s.cluster) + " p" + std::to_string(s.pieces);
  m.bytes = p.bytes;
  bench.measure(m, p.shape.pages > 0 ? kSets : 1,
                [&](int set, cudaStream_t stream) { return decode_attention(p.args(set), s, stream); });
}

void sweep(Bench& bench, const Problem& p) {
  const int tile_bytes = 16 * p.shape.dim * kv_type_size(p.shape.type);
  for (const int cluster : {1, 2, 4, 8}) {
    if (p.shape.requests * cluster > 400) { continue; }
    for (const int warps : {2, 4, 8}) {
      for (const int slots : {3, 6}) {
        const int bytes = warps * slots * tile_bytes;
        if (bytes < 24 * 1024 || bytes > 128 * 1024) { continue; }
        measure(bench, p, {warps, slots, cluster, cluster}, false);
      }
    }
  }
}

// With as few pieces as the schedule allows, and with those of engines whose bits do not depend on the batch.
void measure_planned(Bench& bench, const Problem& p, DecodeSchedule s, const std::string& name = "attention") {
  s.pieces = s.cluster;
  measure(bench, p, s, true, name);
  s.pieces = decode_row::kMaxRanks;
  if (s.pieces != s.cluster) { measure(bench, p, s, true, name); }
}

// Selecting and attending: by two kernels, and by one with every number of thread blocks a row. Both with as few pieces
// as the schedule allows, and with those of engines whose bits do not depend on the batch.
void measure_selecting(Bench& bench, const Shape& shape, int pages) {
  constexpr int kReserved = 3;
  const Problem p(shape);
  const auto rows = static_cast<std::size_t>(shape.requests * kHeads);
  const DeviceArray<unsigned char> centroids =
      random_bytes(static_cast<std::size_t>(shape.requests * p.max_blocks * kHeads * shape.dim) * 2);
  const DeviceArray<std::int32_t> budgets(
      std::vector<std::int32_t>(static_cast<std::size_t>(shape.requests), pages + kReserved));
  const int most = pages + kReserved;
  const DeviceArray<std::int32_t> blocks(rows * static_cast<std::size_t>(most));
  const DeviceArray<std::int32_t> counts(rows);
  SelectAndAttend s;
  s.attention = p.args(0);
  s.score = {s.attention.q,
             reinterpret_cast<const Bf16*>(centroids.data()),
             p.pages.data(),
             p.max_blocks,
             s.attention.num_q_heads,
             shape.dim,
             true};
  s.rule = {p.lengths.data(), budgets.data(), shape.requests, kHeads, shape.block, 1, 2};
  s.out = {blocks.data(), counts.data(), most};
  Measurement m;
  m.kernel = "select_attend";
  m.shape = describe(shape) + " sel " + std::to_string(pages);
  const double page_bytes = 2.0 * shape.block * shape.dim * kv_type_size(shape.type);
  m.bytes = static_cast<double>(rows) * (most * page_bytes + 2.0 * (p.max_blocks - 2) * shape.dim);
  const DecodeSchedule planned = plan_decode_attention(static_cast<int>(rows), most, bench.num_sms());
  std::vector<std::pair<int, int>> apart = {{1, 1}, {planned.cluster, 8}};
  if (planned.cluster > 1) { apart.emplace_back(planned.cluster, planned.cluster); }
  for (const auto& [cluster, pieces] : apart) {
    m.variant = "two kernels c" + std::to_string(cluster) + " p" + std::to_string(pieces);
    bench.measure(m, 1, [&](int, cudaStream_t stream) {
      const cudaError_t selected = score_and_select(s.score, s.rule, s.out, stream);
      if (selected != cudaSuccess) { return selected; }
      DecodeAttention a = s.attention;
      a.selection = {blocks.data(), counts.data(), most};
      return decode_attention(a, {8, 3, cluster, pieces}, stream);
    });
  }
  for (const int cluster : {1, 2, 4, 8}) {
    if (shape.requests * kHeads * cluster > 1024) { continue; }
    for (const int pieces : std::set<int>{cluster, decode_row::kMaxRanks}) {
      m.variant = "c" + std::to_string(cluster) + " p" + std::to_string(pieces);
      bench.measure(m, 1, [&](int, cudaStream_t stream) { return select_and_attend(s, {cluster, pieces}, stream); });
    }
  }
}

}  // namespace

void bench_attention(Bench& bench) {
  if (bench.wants("select_attend")) {
    for (const int requests : {1, 8, 16, 32}) { measure_selecting(bench, {requests, 16384}, 64); }
    measure_selecting(bench, {64, 8192}, 64);
  }
  if (!bench.wants("attention")) { return; }
  constexpr KvType kBf16 = KvType::bf16;
  const std::vector<Shape> swept = {{64, 8192},
                                    {72, 8192},
                                    {96, 8192},
                                    {72, 16384, 64},
                                    {72, 16384, 32},
                                    {64, 16384, 32},
                                    {128, 16384, 32},
                                    {96, 16384, 64},
                                    {64, 8192, 0, kBf16, 2, 128, 16, true},
                                    {64, 8192, 0, kBf16, 4},
                                    {64, 8192, 0, kBf16, 8},
                                    {8, 16384},
                                    {8, 16384, 64},
                                    {1, 32768},
                                    {1, 16384, 64}};
  const std::vector<Shape> rest = {{128, 4096},
                                   {32, 8192},
                                   {32, 16384},
                                   {32, 16384, 32},
                                   {128, 16384, 64},
                                   {64, 16384, 64},
                                   {32, 16384, 64},
                                   {64, 16384, 128},
                                   {64, 8192, 0, KvType::fp8_e4m3},
                                   {64, 8192, 0, KvType::fp8_e5m2},
                                   {64, 16384, 64, KvType::fp8_e4m3},
                                   {64, 8192, 0, kBf16, 1},
                                   {64, 8192, 0, kBf16, 2, 64},
                                   {64, 8192, 0, kBf16, 2, 128, 32}};
  for (const auto* shapes : {&swept, &rest}) {
    for (const Shape& shape : *shapes) {
      const Problem problem(shape);
      const int visited = shape.pages > 0 ? shape.pages : problem.max_blocks;
      measure_planned(bench, problem, plan_decode_attention(shape.requests * kHeads, visited, bench.num_sms()));
      if (bench.sweep() && shapes == &swept) { sweep(bench, problem); }
    }
  }
}

// What any number of query heads a kv head costs: dense attention should be bound by memory whatever it is.
void bench_groups(Bench& bench) {
  const std::string name = "attention_groups";
  if (!bench.wants(name)) { return; }
  std::vector<Shape> shapes;
  for (const int group : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16}) {
    shapes.push_back({64, 8192, 0, KvType::bf16, group});
    shapes.push_back({64, 16384, 64, KvType::bf16, group});
  }
  shapes.push_back({64, 8192, 0, KvType::bf16, 3, 64});
  shapes.push_back({32, 8192, 0, KvType::fp32, 2});
  shapes.push_back({32, 8192, 0, KvType::fp32, 3, 64});
  for (const Shape& shape : shapes) {
    const Problem problem(shape);
    measure_planned(bench, problem, DecodeSchedule{}, name);
  }
}

}  // namespace vortex::cuda
