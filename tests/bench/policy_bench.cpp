// What compiled policies take to score and select, and to summarise the blocks that a step completes: the kernels of
// two examples at Qwen3-1.7B's attention geometry (16 query heads, 8 kv heads, head_dim 128, blocks of 16 tokens in
// random places). Measured as vortex-bench-kernels does.
//   policy_bench [--json FILE]
#include <chrono>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "core/compile/cuda/build.h"
#include "core/compile/cuda/cuda_executable.h"
#include "core/vflow/policy.h"
#include "kernels/cuda/bench/bench.h"

namespace vortex::compile {
namespace {

using cuda::DeviceArray;

constexpr int kHeads = 8;
constexpr int kGroup = 2;
constexpr int kDim = 128;
constexpr int kBlock = 16;
constexpr int kTopk = 64;

vflow::ModelGeometry model() {
  vflow::ModelGeometry model;
  model.layers = 28;
  model.num_q_heads = kHeads * kGroup;
  model.num_kv_heads = kHeads;
  model.head_dim = kDim;
  model.max_context = 16384;
  return model;
}

vflow::Policy example(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(VORTEX_SOURCE_DIR) / "examples/policies";
  vflow::PolicySource source;
  source.module_text = read_file(folder / (name + ".py")).value();
  source.config_text = read_file(folder / (name + ".json")).value();
  vflow::Policy policy = check_policy(source, model()).policy.value();
  policy.config.topk_val = kTopk;
  return policy;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void print_compile_time(const std::string& name, const vflow::Policy& policy) {
  CudaTarget target;
  target.cache_folder = std::filesystem::temp_directory_path() / "vortex-policy-bench";
  std::filesystem::remove_all(target.cache_folder);
  auto start = std::chrono::steady_clock::now();
  build_cuda(policy, model(), target).value();
  const double cold = seconds_since(start);
  start = std::chrono::steady_clock::now();
  build_cuda(policy, model(), target).value();
  const double warm = seconds_since(start);
  std::printf("%s: source to cubin %.0f ms cold, %.2f ms from the cache\n", name.c_str(), cold * 1e3, warm * 1e3);
  std::filesystem::remove_all(target.cache_folder);
}

void bench_policy(cuda::Bench& bench, const std::string& name, int requests, int length) {
  const vflow::Policy policy = example(name);
  const auto executable = compile_cuda(policy, model(), {}).value();
  const int max_blocks = length / kBlock;
  const int pages = requests * max_blocks;
  const int rows = requests * kHeads;
  std::mt19937 random(5);
  const DeviceArray<std::int32_t> table(cuda::random_distinct(pages, pages, random));
  const DeviceArray<std::int32_t> lengths(std::vector<std::int32_t>(static_cast<std::size_t>(requests), length));
  const DeviceArray<unsigned char> q = cuda::random_bytes(static_cast<std::size_t>(rows) * kGroup * kDim * 2);
  const int max_selected = executable->max_selected(max_blocks);
  const DeviceArray<std::int32_t> blocks(static_cast<std::size_t>(rows) * static_cast<std::size_t>(max_selected));
  const DeviceArray<std::int32_t> counts(static_cast<std::size_t>(rows));
  const DeviceArray<unsigned char> workspace(executable->workspace_bytes(requests, max_blocks));
  const DeviceArray<unsigned char> kv =
      cuda::random_bytes(static_cast<std::size_t>(pages) * kHeads * kBlock * kDim * 2);

  std::vector<std::vector<DeviceArray<unsigned char>>> fields;
  std::vector<std::vector<void*>> pointers;
  double field_bytes = 0;
  constexpr int kSets = 2;  // inputs that take turns, so that L2 stays cold
  for (int set = 0; set < kSets; ++set) {
    fields.emplace_back();
    pointers.emplace_back();
    field_bytes = 0;
    for (const vflow::Field& field : policy.program.fields) {
      if (!field.builtin) {
        fields.back().push_back(cuda::random_bytes(static_cast<std::size_t>(pages) * kHeads *
                                                   static_cast<std::size_t>(field.shape.size()) * 2));
        pointers.back().push_back(fields.back().back().data());
        field_bytes += static_cast<double>(fields.back().back().bytes());
      }
    }
  }
  CudaBatch batch;
  batch.num_requests = requests;
  batch.num_q_heads = kHeads * kGroup;
  batch.q = reinterpret_cast<const cuda::Bf16*>(q.data());
  batch.table = {table.data(), lengths.data(), max_blocks};
  batch.workspace = workspace.data();
  const auto cache = [&](int set) {
    CudaLayerCache result;
    result.kv = {kv.data(), kv.data(), cuda::KvType::bf16, kHeads, kBlock, kDim, 1.0F, 1.0F};
    result.fields = pointers[static_cast<std::size_t>(set)].data();
    return result;
  };
  const CudaSelection selection{blocks.data(), counts.data(), max_selected};
  const std::string shape =
      std::to_string(requests) + "x" + std::to_string(length) + " k " + std::to_string(max_selected);
  const double bytes = field_bytes + static_cast<double>(q.bytes() + table.bytes() + blocks.bytes() + counts.bytes());
  bench.measure({"policy select", shape, name, bytes}, kSets,
                [&](int set, cudaStream_t stream) { return executable->select(cache(set), batch, selection, stream); });
  // Every request's newest token completes a block: as it is once in kBlock steps.
  const double page_bytes = field_bytes / pages + kHeads * kBlock * kDim * 2.0;
  CudaBatch completing = batch;
  completing.completes_blocks = true;
  bench.measure(
      {"policy complete, select", shape, name, bytes + page_bytes * requests}, kSets,
      [&](int set, cudaStream_t stream) { return executable->select(cache(set), completing, selection, stream); });
}

}  // namespace
}  // namespace vortex::compile

int main(int argc, char** argv) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "no CUDA device: nothing to measure\n");
    return 3;
  }
  vortex::cuda::Bench bench("", false);
  for (const char* name : {"block_topk", "quest"}) {
    vortex::compile::print_compile_time(name, vortex::compile::example(name));
    for (const auto& [requests, length] : {std::pair{64, 16384}, {32, 16384}, {128, 4096}, {8, 16384}, {1, 16384}}) {
      vortex::compile::bench_policy(bench, name, requests, length);
    }
  }
  return argc > 2 && std::strcmp(argv[1], "--json") == 0 && !bench.write_json(argv[2]) ? 3 : 0;
}
