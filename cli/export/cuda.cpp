#include "cli/export/cuda.h"

#include "base/escape.h"
#include "base/files.h"
#include "base/text.h"
#include "cli/export/bundle.h"
#include "cli/export/cuda_driver.h"
#include "cli/policy_files.h"
#include "core/compile/cuda/generate.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBuild = "nvcc -std=c++20 -arch=sm_90 -fmad=false -Iinclude policy.cu main.cu -o run";

constexpr const char* kHeaderHead = R"(#pragma once

#include <cuda_runtime_api.h>

#include "core/compile/cuda/device/params.h"

namespace policy {

using vortex::compile::device::Params;

// A tensor that the policy reads or writes: [page][kv head][rows][cols].
struct Field {
  const char* name;
  int rows, cols;
  int element_bytes;
  bool of_the_pool;  // k and v; the others are the policy's own, filled by update()
};

)";

constexpr const char* kHeaderTail = R"(
// Floats of workspace that a row of at most `max_blocks` blocks needs.
constexpr long long row_floats(int max_blocks) { return (kWorkFloats * max_blocks + kRowFloats + 3) / 4 * 4; }

// Fills the policy's own fields for the blocks that are complete from params.first_tokens on.
cudaError_t update(const Params& params, cudaStream_t stream);
// Scores the blocks of every row = (request, kv head) and writes those that it attends to, ascending, to params.blocks.
cudaError_t select(const Params& params, cudaStream_t stream);

}  // namespace policy
)";

constexpr const char* kLaunch = R"(
#include "policy.h"

namespace policy {
namespace {

template <typename Kernel>
cudaError_t launch(Kernel* kernel, long long blocks, int shared_bytes, const Params& params, cudaStream_t stream) {
  if (blocks == 0) return cudaSuccess;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error != cudaSuccess) return error;
  kernel<<<static_cast<unsigned>(blocks), vortex::compile::device::kThreads, static_cast<size_t>(shared_bytes),
           stream>>>(params);
  return cudaGetLastError();
}

}  // namespace

cudaError_t update([[maybe_unused]] const Params& params, [[maybe_unused]] cudaStream_t stream) {
@UPDATE@}

cudaError_t select(const Params& params, cudaStream_t stream) {
  const int keys = static_cast<int>(kKeyBytes * params.max_blocks) + 16;
  const int shared_bytes = kOnceBytes + (keys > kTeamsBytes ? keys : kTeamsBytes);
  Params own = params;
  own.topk_val = kTopkVal;
  return launch(vortex::compile::device::indexer::vortex_select,
                static_cast<long long>(params.num_requests) * params.num_kv_heads, shared_bytes, own, stream);
}

}  // namespace policy
)";

constexpr const char* kUpdate = R"(  return launch(vortex::compile::device::cache::vortex_update,
                static_cast<long long>(params.num_requests) * params.max_new_blocks * params.num_kv_heads,
                kUpdateBytes, params, stream);
)";

std::string constant(const char* type, const std::string& name, const std::string& value) {
  return std::string("inline constexpr ") + type + " " + name + " = " + value + ";\n";
}
std::string constant(const std::string& name, int64_t value) { return constant("int", name, std::to_string(value)); }

std::string fields_text(const vflow::Policy& policy) {
  std::string text = "inline constexpr Field kFields[] = {\n";
  for (const vflow::Field& field : policy.program.fields) {
    const vflow::Dtype dtype = field.builtin ? policy.config.kv_dtype : policy.config.dtype;
    text += "    {" + cpp_string(field.name) + ", " + std::to_string(field.shape.rows) + ", " +
            std::to_string(field.shape.cols) + ", " + std::to_string(vflow::dtype_bytes(dtype)) + ", " +
            (field.builtin ? "true" : "false") + "},\n";
  }
  return text + "};\n" + constant("kFieldCount", static_cast<int64_t>(policy.program.fields.size()));
}

std::string constants_text(const std::vector<float>& constants) {
  std::string text = "// Weights of the policy; a zero where it has none.\ninline constexpr float kConstants[] = {";
  for (const float x : constants) { text += nlohmann::json(x).dump() + "F, "; }
  return text + (constants.empty() ? "0.0F};\n" : "};\n");
}

std::string header(const vflow::Policy& policy, const vflow::ModelGeometry& model,
                   const compile::GeneratedPolicy& generated) {
  const vflow::Geometry& geometry = policy.program.geometry;
  const bool mla = policy.program.dialect == vflow::Dialect::kMla;
  return kHeaderHead + constant("kGroup", geometry.group) + constant("kHeadDim", geometry.head_dim) +
         constant("kBlock", geometry.block_size) + constant("kKvHeads", mla ? 1 : model.num_kv_heads) +
         constant("kMaxContext", model.max_context) + fields_text(policy) +
         "// Shared memory in bytes, workspace in floats: what the kernels were generated for.\n" +
         constant("kOnceBytes", generated.once_bytes) + constant("kTeamsBytes", generated.teams_bytes) +
         constant("double", "kKeyBytes", nlohmann::json(generated.key_bytes).dump()) +
         constant("kUpdateBytes", generated.update_bytes) + "// What select() passes on as params.topk_val.\n" +
         constant("kTopkVal", policy.config.topk_val) +
         constant("long long", "kWorkFloats", std::to_string(generated.work_floats)) +
         constant("long long", "kRowFloats", std::to_string(generated.row_floats)) +
         constants_text(generated.constants) + kHeaderTail;
}

std::string source(const compile::GeneratedPolicy& generated) {
  std::string launch = kLaunch;
  launch.replace(launch.find("@UPDATE@"), 8, generated.updates ? kUpdate : "  return cudaSuccess;\n");
  return generated.source + launch;
}

std::string readme(const std::string& claim) {
  return claim + "\nThe policy as CUDA kernels. Build and run it on random pages (building needs no GPU):\n\n    " +
         kBuild +
         "\n    ./run\n\n"
         "`-fmad=false` keeps the arithmetic, and so the choice of blocks, that the search measured.\n\n"
         "| file | what |\n| --- | --- |\n"
         "| `policy.cu`, `policy.h` | the kernels, and the functions that launch them |\n"
         "| `main.cu` | runs them once and prints what each row attends to: block:page |\n"
         "| `include/` | what the kernels of all policies share |\n"
         "| `policy/` | the module and its configuration that they were generated from |\n";
}

}  // namespace

Result<fs::path> write_cuda(const study::LoadedRun& run, const study::CandidateHistory& candidate, bool confirmed,
                            const fs::path& folder) {
  VORTEX_ASSIGN(const fs::path module, write_pair(run, candidate, confirmed, folder / "policy"));
  VORTEX_ASSIGN(const vflow::PolicySource pair, read_policy(module.string(), ""));
  VORTEX_ASSIGN(const vflow::ModelGeometry model, geometry_of_job(run.options.job));
  VORTEX_ASSIGN(const vflow::Policy policy, checked_policy(pair, model));
  VORTEX_ASSIGN(const compile::GeneratedPolicy generated, compile::generate_cuda(policy));
  const std::string claim = claim_text(run, candidate, confirmed);
  const std::string head = cpp_comment(claim) + "\n";
  for (const auto& [name, text] : compile::embedded_headers()) {
    VORTEX_TRY(write_file_atomic(folder / "include" / name, text));
  }
  VORTEX_TRY(write_file_atomic(folder / "policy.cu", head + source(generated)));
  VORTEX_TRY(write_file_atomic(folder / "policy.h", head + header(policy, model, generated)));
  VORTEX_TRY(write_file_atomic(folder / "main.cu", head + kCudaDriver));
  VORTEX_TRY(write_file_atomic(folder / "README.md", readme(claim)));
  return module;
}

}  // namespace vortex::cli
