// Latent attention at decode, and what surrounds it.
#include "kernels/cuda/latent.h"

#include <algorithm>

#include "kernels/cuda/bench/bench.h"

namespace vortex::cuda {
namespace {

struct LatentShape {
  int requests;
  int length;
  int selected = 0;  // tokens; 0 is dense
  int heads = 20;    // GLM-4.7-Flash's
  int block = 32;
  int rank = 512;
  int rope = 64;
  int dim() const { return rank + rope; }
};

constexpr int kSelections = 6;

std::string describe(const LatentShape& s) {
  std::string text = std::to_string(s.requests) + "x" + std::to_string(s.length);
  text += s.selected > 0 ? " sel " + std::to_string(s.selected) : " dense";
  text += " h" + std::to_string(s.heads) + " b" + std::to_string(s.block);
  if (s.rank != 512 || s.rope != 64) { text += " " + std::to_string(s.rank) + "+" + std::to_string(s.rope); }
  return text;
}

// A pool with every page in use, shuffled, and random selections.
struct LatentProblem {
  LatentShape shape;
  int max_blocks = 0;
  double bytes = 0.0;
  DeviceArray<unsigned char> pool, q;
  DeviceArray<Bf16> out;
  DeviceArray<std::int32_t> pages, lengths, counts;
  std::vector<DeviceArray<std::int32_t>> selected;

  explicit LatentProblem(const LatentShape& s) : shape(s), max_blocks((s.length + s.block - 1) / s.block) {
    std::mt19937 random(11);
    const int total = s.requests * max_blocks;
    pages = DeviceArray<std::int32_t>(random_distinct(total, total, random));
    lengths = DeviceArray<std::int32_t>(std::vector<std::int32_t>(static_cast<std::size_t>(s.requests), s.length));
    pool = random_bytes(static_cast<std::size_t>(total) * static_cast<std::size_t>(s.block * s.dim()) * 2);
    const auto rows = static_cast<std::size_t>(s.requests * s.heads);
    q = random_bytes(rows * static_cast<std::size_t>(s.dim()) * 2);
    out = DeviceArray<Bf16>(rows * static_cast<std::size_t>(s.rank));
    const double tokens = static_cast<double>(s.requests) * (s.selected > 0 ? s.selected : s.length);
    bytes = 2.0 * (tokens * s.dim() + static_cast<double>(rows) * (s.dim() + s.rank));
    if (s.selected > 0) { select(s.selected / s.block, random); }
  }

  void select(int blocks, std::mt19937& random) {
    const auto requests = static_cast<std::size_t>(shape.requests);
    counts = DeviceArray<std::int32_t>(std::vector<std::int32_t>(requests, blocks));
    for (int set = 0; set < kSelections; ++set) {
      std::vector<std::int32_t> all;
      for (std::size_t request = 0; request < requests; ++request) {
        std::vector<std::int32_t> chosen = random_distinct(blocks - 1, max_blocks - 1, random);
        std::sort(chosen.begin(), chosen.end());
        chosen.push_back(max_blocks - 1);
        all.insert(all.end(), chosen.begin(), chosen.end());
      }
      selected.emplace_back(all);
    }
  }

  LatentAttention args(int set) const {
    LatentAttention a;
    a.q = reinterpret_cast<const Bf16*>(q.data());
    a.out = out.data();
    a.kv = {pool.data(), nullptr, KvType::bf16, 1, shape.block, shape.dim(), 1.0F, 1.0F};
    a.value_dim = shape.rank;
    a.table = {pages.data(), lengths.data(), max_blocks};
    if (!selected.empty()) {
      a.selection = {selected[static_cast<std::size_t>(set)].data(), counts.data(), shape.selected / shape.block};
    }
    a.rows = shape.requests;
    a.num_q_heads = shape.heads;
    a.scale = 0.0625F;
    return a;
  }
};

void measure_attention(Bench& bench, const LatentShape& shape, const std::vector<int>& numbers,
                       LatentCopies copies = LatentCopies::boxes) {
  const LatentProblem p(shape);
  const DeviceArray<float> workspace(
      static_cast<std::size_t>(latent_workspace_floats(shape.requests, shape.heads, shape.rank, kMaxLatentParts)));
  for (const int parts : numbers) {
    Measurement m;
    m.kernel = "latent_attention";
    m.shape = describe(shape);
    m.variant = std::to_string(parts) + " parts" + (copies == LatentCopies::tokens ? ", a token" : "");
    m.bytes = p.bytes;
    bench.measure(m, shape.selected > 0 ? kSelections : 1, [&](int set, cudaStream_t stream) {
      return latent_attention(p.args(set), {parts, workspace.data(), copies}, stream);
    });
  }
}

// The products of every head: queries turned round, and values made of latents.
void measure_products(Bench& bench, int rows, int n, int k) {
  constexpr int kHeads = 20;
  constexpr int kLayers = 12;  // more than L2 holds
  const auto weights = static_cast<std::size_t>(kHeads * n * k);
  const DeviceArray<unsigned char> w = random_bytes(kLayers * weights * 2);
  const DeviceArray<unsigned char> x = random_bytes(static_cast<std::size_t>(rows * kHeads * k) * 2);
  const DeviceArray<Bf16> y(static_cast<std::size_t>(rows * kHeads * n));
  Measurement m;
  m.kernel = "head_products";
  m.shape = std::to_string(rows) + " rows, " + std::to_string(n) + "x" + std::to_string(k);
  m.bytes = 2.0 * (static_cast<double>(weights) + static_cast<double>(rows) * kHeads * (n + k));
  bench.measure(m, kLayers, [&](int layer, cudaStream_t stream) {
    HeadProducts a;
    a.w = reinterpret_cast<const Bf16*>(w.data()) + static_cast<std::size_t>(layer) * weights;
    a.x = reinterpret_cast<const Bf16*>(x.data());
    a.x_row = std::int64_t{kHeads} * k;
    a.x_head = k;
    a.y = y.data();
    a.y_row = std::int64_t{kHeads} * n;
    a.y_head = n;
    a.rows = rows;
    a.heads = kHeads;
    a.n = n;
    a.k = k;
    return head_products(a, stream);
  });
}

void measure_append(Bench& bench, int rows) {
  constexpr int kQueryRank = 768;
  const LatentProblem p({rows, 4096});
  const DeviceArray<unsigned char> projected = random_bytes(static_cast<std::size_t>(rows) * (kQueryRank + 576) * 2);
  const DeviceArray<unsigned char> norms = random_bytes(kQueryRank * 2);
  const DeviceArray<float2> turns(std::size_t{4096} * 32);
  const DeviceArray<Bf16> q_latent(static_cast<std::size_t>(rows) * kQueryRank);
  Measurement m;
  m.kernel = "append_latent";
  m.shape = std::to_string(rows) + " rows";
  bench.measure(m, 1, [&](int, cudaStream_t stream) {
    LatentAppend a;
    a.projected = reinterpret_cast<const Bf16*>(projected.data());
    a.stride = kQueryRank + 576;
    a.latent_at = kQueryRank;
    a.q_rank = kQueryRank;
    a.q_norm = a.k_norm = reinterpret_cast<const Bf16*>(norms.data());
    a.kv_rank = 512;
    a.rotation = {turns.data(), 64, true};
    a.num_tokens = rows;
    a.q_latent = q_latent.data();
    a.kv = p.args(0).kv;
    a.table = p.args(0).table;
    return append_latent(a, stream);
  });
}

}  // namespace

void bench_latent(Bench& bench) {
  const std::vector<int> all = {2, 4, 8, 16};
  const std::vector<int> planned = {8};
  if (bench.wants("latent_attention")) {
    for (const int requests : {8, 32, 64}) {
      for (const int length : {4096, 16384}) { measure_attention(bench, {requests, length}, all); }
      measure_attention(bench, {requests, 16384, 2048}, all);
      // The number of parts that is planned, with a copy a token.
      const std::vector<int> as_before = {plan_latent_parts(requests, 20, bench.num_sms())};
      measure_attention(bench, {requests, 16384}, as_before, LatentCopies::tokens);
      measure_attention(bench, {requests, 16384, 2048}, as_before, LatentCopies::tokens);
    }
    if (bench.sweep()) {
      for (const int block : {16, 64}) { measure_attention(bench, {32, 16384, 2048, 20, block}, planned); }
      for (const int heads : {16, 32, 64, 128}) { measure_attention(bench, {32, 16384, 0, heads}, planned); }
      measure_attention(bench, {1, 32768}, planned);
      measure_attention(bench, {64, 16384, 2048, 16}, planned);
      measure_attention(bench, {32, 16384, 0, 40, 32, 256, 32}, planned);
      measure_attention(bench, {32, 16384, 0, 20, 32, 512, 0}, planned);
    }
  }
  for (const int rows : {8, 32, 64}) {
    if (bench.wants("head_products")) {
      measure_products(bench, rows, 512, 192);
      measure_products(bench, rows, 256, 512);
    }
    if (bench.wants("append_latent")) { measure_append(bench, rows); }
  }
}

}  // namespace vortex::cuda
