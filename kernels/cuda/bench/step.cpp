#include <cuda_bf16.h>

#include "kernels/cuda/append.h"
#include "kernels/cuda/bench/bench.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/sampler.h"

namespace vortex::cuda {
namespace {

constexpr int kQHeads = 16;
constexpr int kHeads = 8;
constexpr int kDim = 128;
constexpr int kBlock = 16;
constexpr int kHidden = 2048;
constexpr int kIntermediate = 6144;
constexpr int kVocab = 151936;
constexpr int kLength = 4096;

const Bf16* as_bf16(const DeviceArray<unsigned char>& x) { return reinterpret_cast<const Bf16*>(x.data()); }

template <class T>
DeviceArray<T> filled(int count, T value) {
  return DeviceArray<T>(std::vector<T>(static_cast<std::size_t>(count), value));
}

// `completing`: every token completes a block, so that every row is summarised; otherwise none does.
void bench_append(Bench& bench, int requests, KvType type, bool completing) {
  const int blocks = kLength / kBlock;
  const int pages = requests * blocks;
  std::mt19937 random(1);
  const auto head_bytes = static_cast<std::size_t>(kDim) * 2;
  const std::size_t tokens = static_cast<std::size_t>(requests);
  const auto pool_bytes = static_cast<std::size_t>(pages * kHeads) * static_cast<std::size_t>(kBlock * kDim) *
                          static_cast<std::size_t>(kv_type_size(type));
  const DeviceArray<unsigned char> k = random_bytes(pool_bytes);
  const DeviceArray<unsigned char> v = random_bytes(pool_bytes);
  const DeviceArray<unsigned char> qkv = random_bytes(tokens * (kQHeads + 2 * kHeads) * head_bytes);
  const DeviceArray<unsigned char> norm = random_bytes(head_bytes);
  const DeviceArray<unsigned char> rope = random_bytes(static_cast<std::size_t>(kLength) * kDim / 2 * sizeof(float2));
  const DeviceArray<std::int32_t> table(random_distinct(pages, pages, random));
  const DeviceArray<std::int32_t> lengths = filled<std::int32_t>(requests, completing ? kLength : kLength - 3);
  const DeviceArray<Bf16> q(tokens * kQHeads * kDim);
  const DeviceArray<Bf16> centroids(static_cast<std::size_t>(pages * kHeads) * kDim);
  KvAppend a;
  a.qkv = as_bf16(qkv);
  a.q_norm = as_bf16(norm);
  a.k_norm = as_bf16(norm);
  a.rope = reinterpret_cast<const float2*>(rope.data());
  a.num_tokens = requests;
  a.num_q_heads = kQHeads;
  a.q = q.data();
  a.kv = {k.data(), v.data(), type, kHeads, kBlock, kDim, 1.0F, 1.0F};
  a.table = {table.data(), lengths.data(), blocks};
  a.summary.mean = centroids.data();
  const double element = kv_type_size(type);
  double bytes = static_cast<double>(qkv.size()) + requests * kDim * (kQHeads * 2.0 + 2.0 * kHeads * element);
  if (completing) { bytes += requests * kHeads * kDim * ((kBlock - 1) * element + 2.0); }
  bench.measure({"append", std::to_string(requests) + " tokens",
                 std::string(type == KvType::bf16 ? "bf16" : "e4m3") + (completing ? " + mean" : ""), bytes},
                1, [&](int, cudaStream_t stream) { return append_kv(a, stream); });
}

void bench_elementwise(Bench& bench, int tokens) {
  const auto rows = static_cast<std::size_t>(tokens);
  const DeviceArray<unsigned char> x = random_bytes(rows * kHidden * 2);
  const DeviceArray<unsigned char> weight = random_bytes(kHidden * 2);
  const DeviceArray<Bf16> residual(rows * kHidden);
  const DeviceArray<Bf16> out(rows * kIntermediate);
  check(cudaMemset(residual.data(), 0, residual.bytes()), "cudaMemset");
  const ResidualNorm norm{residual.data(), as_bf16(x), as_bf16(weight), out.data(), tokens, kHidden, 1e-6F};
  const std::string shape = std::to_string(tokens) + " tokens";
  bench.measure({"residual_norm", shape, std::to_string(kHidden), 4.0 * static_cast<double>(x.size())}, 1,
                [&](int, cudaStream_t stream) { return residual_rms_norm(norm, stream); });

  const DeviceArray<unsigned char> gate_up = random_bytes(rows * 2 * kIntermediate * 2);
  bench.measure(
      {"swiglu", shape, std::to_string(kIntermediate), 1.5 * static_cast<double>(gate_up.size())}, 1,
      [&](int, cudaStream_t stream) { return swiglu(as_bf16(gate_up), out.data(), tokens, kIntermediate, stream); });
}

void bench_sampler(Bench& bench, int rows, LogitType type) {
  const auto count = static_cast<std::size_t>(rows) * kVocab;
  std::vector<float> host(kVocab);
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0.0F, 2.5F);
  std::vector<float> wide;
  for (float& x : host) { x = normal(random); }
  for (int r = 0; r < rows; ++r) { wide.insert(wide.end(), host.begin(), host.end()); }
  std::vector<Bf16> narrow(wide.size());
  for (std::size_t i = 0; i < wide.size(); ++i) { narrow[i] = __float2bfloat16(wide[i]); }
  const DeviceArray<float> device_wide(wide);
  const DeviceArray<Bf16> device_narrow(narrow);
  const DeviceArray<std::uint64_t> seeds = filled<std::uint64_t>(rows, 1);
  const DeviceArray<std::int32_t> positions = filled<std::int32_t>(rows, 5);
  const DeviceArray<std::int32_t> tokens(static_cast<std::size_t>(rows));
  struct Kind {
    const char* name;
    float temperature;
    int top_k;
    float top_p;
  };
  for (const Kind& kind : {Kind{"greedy", 0.0F, 0, 1.0F}, Kind{"temperature", 0.6F, 0, 1.0F},
                           Kind{"top-k 20 top-p .95", 0.6F, 20, 0.95F}, Kind{"top-p .95", 0.6F, 0, 0.95F}}) {
    const DeviceArray<float> temperature = filled(rows, kind.temperature);
    const DeviceArray<float> top_p = filled(rows, kind.top_p);
    const DeviceArray<std::int32_t> top_k = filled<std::int32_t>(rows, kind.top_k);
    const bool bf16 = type == LogitType::bf16;
    const Sample a{bf16 ? static_cast<const void*>(device_narrow.data()) : device_wide.data(),
                   type,
                   rows,
                   kVocab,
                   kVocab,
                   temperature.data(),
                   top_k.data(),
                   top_p.data(),
                   seeds.data(),
                   seeds.data(),
                   positions.data(),
                   nullptr,
                   tokens.data()};
    bench.measure({"sample", std::to_string(rows) + " rows " + (bf16 ? "bf16" : "fp32"), kind.name,
                   static_cast<double>(count) * (bf16 ? 2 : 4)},
                  1, [&](int, cudaStream_t stream) { return sample(a, stream); });
  }
}

void bench_plan(Bench& bench, int requests) {
  const int blocks = kLength / kBlock;
  const DeviceArray<std::int32_t> lengths = filled<std::int32_t>(requests, kLength);  // full tables: nothing changes
  const DeviceArray<std::int32_t> table = filled<std::int32_t>(requests * blocks, 0);
  const DeviceArray<std::int32_t> budgets(static_cast<std::size_t>(requests));
  const DeviceArray<std::int32_t> new_tokens = filled<std::int32_t>(requests, 1);
  const DeviceArray<std::uint8_t> granted(static_cast<std::size_t>(requests));
  const DeviceArray<std::int32_t> free = filled<std::int32_t>(requests, 0);
  const DeviceArray<std::int32_t> count = filled<std::int32_t>(1, 0);
  PlanStep a;
  a.lengths = lengths.data();
  a.table = table.data();
  a.new_tokens = new_tokens.data();
  a.granted = granted.data();
  a.budgets = budgets.data();
  a.free = {free.data(), count.data()};
  a.budget = {30, 0.0625F, 1, 2};
  a.num_requests = requests;
  a.max_blocks = blocks;
  a.block = kBlock;
  bench.measure({"plan_step", std::to_string(requests) + " requests", ""}, 1,
                [&](int, cudaStream_t stream) { return plan_step(a, stream); });
}

}  // namespace

void bench_step(Bench& bench) {
  for (const int tokens : {64, 256}) {
    if (bench.wants("append")) {
      bench_append(bench, tokens, KvType::bf16, false);
      bench_append(bench, tokens, KvType::bf16, true);
      bench_append(bench, tokens, KvType::fp8_e4m3, true);
    }
    if (bench.wants("elementwise")) { bench_elementwise(bench, tokens); }
  }
  if (bench.wants("sample")) {
    for (const int rows : {1, 64, 128}) { bench_sampler(bench, rows, LogitType::bf16); }
    bench_sampler(bench, 64, LogitType::fp32);
  }
  if (bench.wants("plan")) { bench_plan(bench, 128); }
}

}  // namespace vortex::cuda
