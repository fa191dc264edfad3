#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/engine/device_choice.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"

namespace vortex::evals {

// The policy of a job, checked against the model for contexts of `max_context` tokens, and against what `device` covers
// where that is cpu or cuda. One that does not check is the
// candidate's fault; the message is the rendered diagnostics.
Result<vflow::Policy> checked_policy(const std::string& module_text, const std::string& config_text,
                                     const model::ModelConfig& config, int max_context, int64_t kv_memory_bytes,
                                     const std::string& device);

// A model in an engine, and what it runs on.
struct DeviceEngine {
  std::unique_ptr<engine::Engine> engine;
  std::string device = "cpu";
  int driver = 0;                          // of a CUDA device
  std::string bus_id;                      // likewise
  std::vector<std::string> other_bus_ids;  // of the devices of ranks behind the first
  std::string note;                        // why not on a device that is there
};

// On which device of this machine a job's engine runs; `wanted` is Job::device.
Result<engine::DeviceChoice> device_for(const model::ModelConfig& config, const engine::EngineOptions& options,
                                        const std::string& wanted, const vflow::Policy* policy);

// That engine, over `ranks` ranks (core/engine/tensor_parallel.h): the first CUDA devices, or threads of the CPU, as
// many as options.threads says. `cache_folder` keeps compiled policies and tuned products; empty: none are kept.
Result<std::unique_ptr<engine::Engine>> make_engine(model::Model model, const engine::EngineOptions& options, bool cuda,
                                                    const std::filesystem::path& cache_folder, int ranks = 1);

// What an engine is opened from.
struct EngineSource {
  std::filesystem::path model_folder;
  nlohmann::json kept;                 // Job::kept; null: the model is loaded
  std::string device = "auto";         // Job::device
  std::filesystem::path cache_folder;  // as make_engine() has it
  std::string cpu_math = "float32";    // Job::cpu_math
  int ranks = 1;                       // Job::tensor_parallel
};

// The options of an engine on either kind of device.
struct DeviceOptions {
  engine::EngineOptions cpu;
  engine::EngineOptions cuda;
};

// `config` is the model's; `policy` is what the engine is going to run, or null.
Result<DeviceEngine> open_engine(const EngineSource& source, const model::ModelConfig& config,
                                 const DeviceOptions& options, const vflow::Policy* policy);

}  // namespace vortex::evals
