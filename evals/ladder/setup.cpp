#include "evals/ladder/setup.h"

#include "core/compile/limits.h"
#include "core/model/model.h"
#ifdef VORTEX_WITH_CUDA
#include "core/engine/cuda/cuda_engine.h"
#endif

namespace vortex::evals {

Result<vflow::Policy> checked_policy(const std::string& module_text, const std::string& config_text,
                                     const model::ModelConfig& config, int max_context, int64_t kv_memory_bytes,
                                     const std::string& device) {
  vflow::PolicySource source;
  source.module_text = module_text;
  source.config_text = config_text;
  vflow::ModelGeometry geometry = model::geometry_of(config, max_context, kv_memory_bytes);
  if (device == "cuda") geometry.backend = compile::cuda_limits();
  if (device == "cpu") geometry.backend = compile::cpu_limits();
  vflow::CheckReport report = vflow::check_policy(source, geometry);
  if (!report.policy) return candidate_error(vflow::render(report.diagnostics));
  return std::move(*report.policy);
}

Result<DeviceChoice> choose_device(const std::string& wanted, const Status& found, const Status& covered) {
  if (wanted == "cpu") return DeviceChoice{};
  if (wanted == "cuda") {
    VORTEX_TRY(found);
    VORTEX_TRY(covered);
    return DeviceChoice{true, {}};
  }
  if (!found.ok()) return DeviceChoice{};
  if (!covered.ok()) return DeviceChoice{false, "on the CPU: " + covered.error().message};
  return DeviceChoice{true, {}};
}

Result<DeviceEngine> open_engine(model::Model model, const engine::EngineOptions& options, const std::string& wanted,
                                 [[maybe_unused]] const vflow::Policy* policy,
                                 [[maybe_unused]] const std::string& kernel_cache) {
  DeviceEngine opened;
#ifdef VORTEX_WITH_CUDA
  const Result<engine::CudaDevice> device = engine::find_cuda_device();
  VORTEX_ASSIGN(const DeviceChoice choice, choose_device(wanted, device.ok() ? ok_status() : Status(device.error()),
                                                         engine::cuda_supports(model.config, options, policy)));
  opened.note = choice.note;
  if (choice.cuda) {
    engine::CudaOptions cuda;
    cuda.kernel_cache = kernel_cache;
    VORTEX_ASSIGN(opened.engine, engine::make_cuda_engine(std::move(model), options, cuda));
    opened.device = device->name;
    opened.driver = device->driver;
    return opened;
  }
#else
  VORTEX_TRY(choose_device(wanted, environment_error("this program was built without CUDA"), ok_status()));
#endif
  VORTEX_ASSIGN(opened.engine, engine::make_cpu_engine(std::move(model), options));
  return opened;
}

}  // namespace vortex::evals
