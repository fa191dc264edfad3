// Attention of prompts: 16 query and 8 KV heads of 128, pages of 16 tokens in random order.
#include "kernels/cuda/prefill.h"

#include "kernels/cuda/bench/bench.h"

namespace vortex::cuda {
namespace {

constexpr int kKvHeads = 8;
constexpr int kQueryHeads = 16;
constexpr int kDim = 128;
constexpr int kBlock = 16;

// `rows` rows behind `first` tokens.
void measure_prompt(Bench& bench, int first, int rows) {
  const int tokens = first + rows;
  const int blocks = tokens / kBlock;
  std::mt19937 random(3);
  const DeviceArray<std::int32_t> pages(random_distinct(blocks, blocks, random));
  const std::size_t pool = static_cast<std::size_t>(tokens) * kKvHeads * kDim * sizeof(Bf16);
  const DeviceArray<unsigned char> k = random_bytes(pool);
  const DeviceArray<unsigned char> v = random_bytes(pool);
  const DeviceArray<unsigned char> q = random_bytes(static_cast<std::size_t>(rows) * kQueryHeads * kDim * sizeof(Bf16));
  const DeviceArray<Bf16> out(q.size() / sizeof(Bf16));
  const KvPool kv{k.data(), v.data(), KvType::bf16, kKvHeads, kBlock, kDim};
  PrefillAttention attention;
  attention.q = reinterpret_cast<const Bf16*>(q.data());
  attention.out = out.data();
  attention.kv = kv;
  attention.pages = pages.data();
  attention.first = first;
  attention.rows = rows;
  attention.num_q_heads = kQueryHeads;
  attention.scale = 0.09F;
  const std::string shape = std::to_string(rows) + " behind " + std::to_string(first);
  const auto measure = [&](const char* variant) {
    bench.measure({"prefill_attention", shape, variant}, 1,
                  [&](int, cudaStream_t stream) { return prefill_attention(attention, stream); });
  };
  measure("paged");
  attention.heads_together = kKvHeads;
  measure("paged, all heads together");
  attention.heads_together = 0;
  measure("paged");  // once more: a card may slow down while it runs
  attention.plain = true;
  measure("plain");
}

}  // namespace

void bench_prefill(Bench& bench) {
  if (!bench.wants("prefill_attention")) { return; }
  for (const int tokens : {4096, 16384, 32768}) { measure_prompt(bench, 0, tokens); }
  measure_prompt(bench, 12288, 4096);
  measure_prompt(bench, 15360, 1024);
}

}  // namespace vortex::cuda
