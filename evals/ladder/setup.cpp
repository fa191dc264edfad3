#include "evals/ladder/setup.h"

#include "core/compile/limits.h"
#include "core/engine/cpu_math.h"
#include "core/engine/tensor_parallel.h"
#include "core/model/model.h"
#include "evals/ladder/build_id.h"
#include "evals/ladder/kept.h"
#ifdef VORTEX_WITH_CUDA
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/tensor_parallel.h"
#endif

namespace vortex::evals {

Result<vflow::Policy> checked_policy(const std::string& module_text, const std::string& config_text,
                                     const model::ModelConfig& config, int max_context, int64_t kv_memory_bytes,
                                     const std::string& device) {
  vflow::PolicySource source;
  source.module_text = module_text;
  source.config_text = config_text;
  vflow::ModelGeometry geometry = model::geometry_of(config, max_context, kv_memory_bytes);
  if (device == "cuda") { geometry.backend = compile::cuda_limits(); }
  if (device == "cpu") { geometry.backend = compile::cpu_limits(); }
  vflow::CheckReport report = vflow::check_policy(source, geometry);
  if (!report.policy) { return candidate_error(vflow::render(report.diagnostics)); }
  return std::move(*report.policy);
}

Result<engine::DeviceChoice> device_for([[maybe_unused]] const model::ModelConfig& config,
                                        [[maybe_unused]] const engine::EngineOptions& options,
                                        const std::string& wanted, [[maybe_unused]] const vflow::Policy* policy) {
#ifdef VORTEX_WITH_CUDA
  const Result<engine::CudaDevice> device = engine::find_cuda_device();
  return engine::choose_device(wanted, device.ok() ? ok_status() : Status(device.error()),
                               engine::cuda_supports(config, options, policy));
#else
  return engine::choose_device(wanted, environment_error("this program was built without CUDA"), ok_status());
#endif
}

Result<std::unique_ptr<engine::Engine>> make_engine(model::Model model, const engine::EngineOptions& options,
                                                    [[maybe_unused]] bool cuda,
                                                    [[maybe_unused]] const std::filesystem::path& cache_folder,
                                                    int ranks) {
#ifdef VORTEX_WITH_CUDA
  if (cuda) {
    engine::CudaOptions chosen;
    if (!cache_folder.empty()) {
      chosen.kernel_cache = cache_folder / "kernels";
      chosen.product_cache = cache_folder / "products";
      chosen.build = build_id();
    }
    if (ranks > 1) {
      VORTEX_ASSIGN(const std::vector<int> devices, engine::devices_of_ranks(ranks));
      return engine::make_cuda_tensor_parallel_engine(model, options, chosen, devices);
    }
    return engine::make_cuda_engine(std::move(model), options, chosen);
  }
#endif
  if (ranks > 1) {
    engine::EngineOptions of_rank = options;
    of_rank.threads = 1;
    return engine::make_tensor_parallel_cpu_engine(model, of_rank, ranks);
  }
  return engine::make_cpu_engine(std::move(model), options);
}

Result<DeviceEngine> open_engine(const EngineSource& source, const model::ModelConfig& config,
                                 const DeviceOptions& options, const vflow::Policy* policy) {
  DeviceEngine opened;
  VORTEX_ASSIGN(const engine::DeviceChoice choice, device_for(config, options.cuda, source.device, policy));
  if (!choice.why_not.empty()) { opened.note = "on the CPU: " + choice.why_not; }
#ifdef VORTEX_WITH_CUDA
  if (choice.cuda) {
    VORTEX_ASSIGN(const engine::CudaDevice device, engine::find_cuda_device());
    opened.device = (source.ranks > 1 ? std::to_string(source.ranks) + " x " : "") + device.name;
    opened.driver = device.driver;
    opened.bus_id = device.bus_id;
    for (int rank = 1; rank < source.ranks; ++rank) {
      VORTEX_ASSIGN(const engine::CudaDevice other, engine::find_cuda_device(rank));
      opened.other_bus_ids.push_back(other.bus_id);
    }
  }
#endif
  VORTEX_ASSIGN(RunnableModel runnable, open_model(source.model_folder, source.kept, choice.cuda));
  engine::EngineOptions chosen = choice.cuda ? options.cuda : options.cpu;
  chosen.kept = std::move(runnable.kept);
  if (!choice.cuda) { VORTEX_ASSIGN(chosen.unit, engine::find_unit(source.cpu_math)); }
  VORTEX_ASSIGN(opened.engine,
                make_engine(std::move(runnable.model), chosen, choice.cuda, source.cache_folder, source.ranks));
  return opened;
}

}  // namespace vortex::evals
