// What compiled policies take to score and select, and to summarise the blocks that a step completes: the kernels of
// two examples and of the made-up policies beside this file, at Qwen3-1.7B's attention geometry (16 query heads, 8 kv
// heads, head_dim 128, blocks in random places). Measured as vortex-bench-kernels does. The made-up ones are measured
// twice: as they are compiled, and in all forms that the compiler has (PolicyForms); VORTEX_POLICY_FORMS names others.
//   policy_bench [--json FILE]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "base/files.h"
#include "core/compile/cuda/build.h"
#include "core/compile/cuda/cuda_executable.h"
#include "core/vflow/policy.h"
#include "core/vflow/tell/cost.h"
#include "kernels/cuda/bench/bench.h"

namespace vortex::compile {
namespace {

using cuda::DeviceArray;

constexpr int kHeads = 8;
constexpr int kGroup = 2;
constexpr int kDim = 128;
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

// A policy of the tree, "examples/policies/quest".
vflow::Policy policy_at(const std::string& path) {
  const std::string whole = std::string(VORTEX_SOURCE_DIR) + "/" + path;
  vflow::PolicySource source;
  source.module_text = read_file(whole + ".py").value();
  source.config_text = read_file(whole + ".json").value();
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

// `count` numbers in bfloat16 as large as keys and queries are: special functions are slower where they overflow.
DeviceArray<unsigned char> normals(std::size_t count) {
  constexpr std::size_t kDrawn = std::size_t{1} << 20;
  static const std::vector<unsigned char> drawn = [] {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<unsigned char> bytes(kDrawn * 2);
    for (std::size_t i = 0; i < kDrawn; ++i) {
      const float value = normal(random);
      std::memcpy(&bytes[2 * i], reinterpret_cast<const unsigned char*>(&value) + 2, 2);  // the upper half
    }
    return bytes;
  }();
  std::vector<unsigned char> bytes(count * 2);
  for (std::size_t at = 0; at < bytes.size(); at += drawn.size()) {
    std::copy_n(drawn.begin(), std::min(drawn.size(), bytes.size() - at),
                bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return DeviceArray<unsigned char>(bytes);
}

void bench_policy(cuda::Bench& bench, const vflow::Policy& policy, const std::string& name, int requests, int length) {
  const int block = policy.config.block_size;
  const auto executable = compile_cuda(policy, model(), {}).value();
  const int max_blocks = length / block;
  const int pages = requests * max_blocks;
  const int rows = requests * kHeads;
  std::mt19937 random(5);
  const DeviceArray<std::int32_t> table(cuda::random_distinct(pages, pages, random));
  const DeviceArray<std::int32_t> lengths(std::vector<std::int32_t>(static_cast<std::size_t>(requests), length));
  const DeviceArray<unsigned char> q = normals(static_cast<std::size_t>(rows) * kGroup * kDim);
  const int max_selected = executable->max_selected(max_blocks);
  const DeviceArray<std::int32_t> blocks(static_cast<std::size_t>(rows) * static_cast<std::size_t>(max_selected));
  const DeviceArray<std::int32_t> counts(static_cast<std::size_t>(rows));
  const DeviceArray<unsigned char> workspace(executable->workspace_bytes(requests, max_blocks));
  const DeviceArray<unsigned char> kv =
      normals(static_cast<std::size_t>(pages) * kHeads * kDim * static_cast<std::size_t>(block));

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
        fields.back().push_back(
            normals(static_cast<std::size_t>(pages) * kHeads * static_cast<std::size_t>(field.shape.size())));
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
    result.kv = {kv.data(), kv.data(), cuda::KvType::bf16, kHeads, block, kDim, 1.0F, 1.0F};
    result.fields = pointers[static_cast<std::size_t>(set)].data();
    return result;
  };
  const CudaSelection selection{blocks.data(), counts.data(), max_selected};
  const std::string shape =
      std::to_string(requests) + "x" + std::to_string(length) + " k " + std::to_string(max_selected);
  const vflow::PageCost page = vflow::page_cost(policy);
  const double scored = static_cast<double>(rows) * (max_blocks - policy.config.reserved_eos);
  const double bytes = scored * (page.read_bytes + page.saved_bytes) +
                       static_cast<double>(q.bytes() + table.bytes() + blocks.bytes() + counts.bytes());
  bench.measure({"policy select", shape, name, bytes}, kSets,
                [&](int set, cudaStream_t stream) { return executable->select(cache(set), batch, selection, stream); });
  // Every request's newest token completes a block: as it is once in a block's steps.
  const double page_bytes = field_bytes / pages + kHeads * block * kDim * 2.0;
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
  using namespace vortex::compile;
  vortex::cuda::Bench bench("", false);
  for (const char* name : {"block_topk", "quest"}) {
    const vortex::vflow::Policy policy = policy_at(std::string("examples/policies/") + name);
    print_compile_time(name, policy);
    for (const auto& [requests, length] : {std::pair{64, 16384}, {32, 16384}, {128, 4096}, {8, 16384}, {1, 16384}}) {
      bench_policy(bench, policy, name, requests, length);
    }
  }
  const char* named = std::getenv("VORTEX_POLICY_FORMS");
  const std::string forms = named == nullptr ? "all" : named;
  for (const char* name :
       {"wide_state", "momentum_query", "channel_gate", "channel_exp", "silu_channels", "four_fields", "softmax_heads",
        "conv_channels", "two_products", "centred", "small_blocks"}) {
    const vortex::vflow::Policy policy = policy_at(std::string("tests/bench/policies/") + name);
    ::unsetenv("VORTEX_POLICY_FORMS");
    bench_policy(bench, policy, name, 48, 8192);
    ::setenv("VORTEX_POLICY_FORMS", forms.c_str(), 1);
    bench_policy(bench, policy, name + (", " + forms), 48, 8192);
  }
  return argc > 2 && std::strcmp(argv[1], "--json") == 0 && !bench.write_json(argv[2]) ? 3 : 0;
}
