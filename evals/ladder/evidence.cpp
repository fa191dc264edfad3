#include "evals/ladder/evidence.h"

#include <unistd.h>

#include <fstream>

#include "base/gpu.h"
#include "core/vflow/graph/canonical.h"
#include "evals/ladder/build_id.h"
#include "kernels/cpu/isa.h"

namespace vortex::evals {
namespace {

// The processor's name as Linux gives it; empty where it gives none.
std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) { return line.substr(std::min(line.size(), line.find(':') + 2)); }
  }
  return {};
}

nlohmann::json to_json(const compile::KernelInfo& kernel) {
  nlohmann::json json = {{"name", kernel.name}, {"source_hash", kernel.source_hash}};
  if (!kernel.binary_hash.empty()) { json["binary_hash"] = kernel.binary_hash; }
  if (kernel.registers > 0) {
    json["registers"] = kernel.registers;
    json["local_bytes"] = kernel.local_bytes;
    json["shared_bytes"] = kernel.shared_bytes;
  }
  if (kernel.spill_bytes) { json["spill_bytes"] = *kernel.spill_bytes; }
  return json;
}

// The kernels of the policy that the engine runs; none under dense attention.
nlohmann::json kernels_of(const engine::Engine& engine) {
  nlohmann::json kernels = nlohmann::json::array();
  const std::shared_ptr<const compile::Executable> executable = engine.executable();
  if (executable == nullptr) { return kernels; }
  for (const compile::KernelInfo& kernel : executable->kernels()) { kernels.push_back(to_json(kernel)); }
  return kernels;
}

// How a GPU of the session does now; null where nobody tells.
nlohmann::json gpu_at(const std::string& bus_id) {
  const std::optional<Gpu> gpu = look_at_gpu(bus_id);
  return gpu ? to_json(*gpu, ::getpid()) : nlohmann::json();
}

}  // namespace

nlohmann::json evidence_of(const Session& session) {
  nlohmann::json evidence = {{"model_hash", session.engine->model().hash},
                             {"build_id", build_id()},
                             {"device", session.device},
                             {"processor", processor_name()},
                             {"isa", cpu::isa_name(cpu::best_isa())},
                             {"threads", session.job.threads},
                             {"batch", session.job.batch},  // as asked: the supervisor compares it
                             {"max_batch", session.max_batch},
                             {"dense", session.job.dense},
                             {"kernels", kernels_of(*session.engine)}};
  if (session.device == "cpu") {
    const std::string& unit = session.engine->model().arithmetic;
    evidence["cpu_math"] = unit.empty() ? "float32" : "bf16";
    if (!unit.empty()) { evidence["cpu_unit"] = unit; }
  }
  if (session.job.tensor_parallel > 1) { evidence["tensor_parallel"] = session.job.tensor_parallel; }
  if (session.driver != 0) {
    evidence["driver"] = session.driver;
    evidence["gpu"] = gpu_at(session.bus_id);
    for (const std::string& other : session.other_bus_ids) { evidence["other_gpus"].push_back(gpu_at(other)); }
  }
  if (!session.prompt_date.empty()) { evidence["prompt_date"] = session.prompt_date; }
  if (!session.device_note.empty()) { evidence["device_note"] = session.device_note; }
  if (session.policy) {
    evidence["program_hash"] = vflow::program_hash(session.policy->program);
    evidence["policy_key"] = vflow::policy_key(*session.policy);
  }
  return evidence;
}

Result<nlohmann::json> evidence_of(const Session& session, const engine::RunStats& stats) {
  if (selects_pages(session) && stats.decode_steps > 0 && stats.sparse_layer_calls == 0) {
    return internal_error("the engine decoded without calling the policy");
  }
  if (!session.policy && stats.sparse_layer_calls > 0) {
    return internal_error("dense attention went through a policy");
  }
  nlohmann::json evidence = evidence_of(session);
  evidence["decode_tokens"] = stats.decode_tokens;
  evidence["decode_steps"] = stats.decode_steps;
  evidence["prefill_tokens"] = stats.prefill_tokens;
  evidence["sparse_layer_calls"] = stats.sparse_layer_calls;
  evidence["dense_layer_calls"] = stats.dense_layer_calls;
  evidence["pages_visible"] = stats.pages_visible;
  evidence["pages_attended"] = stats.pages_attended;
  evidence["kv_bytes_read"] = stats.kv_bytes_read;
  evidence["weight_bytes_read"] = stats.weight_bytes_read;
  return evidence;
}

}  // namespace vortex::evals
