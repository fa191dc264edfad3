#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "core/engine/engine.h"
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
  int driver = 0;    // of a CUDA device
  std::string note;  // why not on a device that is there
};

// Which engine a job gets. `wanted` is cpu, cuda or auto; `found` tells whether there is a CUDA device, `covered`
// whether its kernels cover model and policy. With auto the CPU takes what the device cannot, and `note` says why.
struct DeviceChoice {
  bool cuda = false;
  std::string note;
};
Result<DeviceChoice> choose_device(const std::string& wanted, const Status& found, const Status& covered);

// `wanted` is Job::device; `policy` is what the engine is going to run, or null. `kernel_cache` keeps compiled
// policies; empty: none is kept.
Result<DeviceEngine> open_engine(model::Model model, const engine::EngineOptions& options, const std::string& wanted,
                                 const vflow::Policy* policy, const std::string& kernel_cache);

}  // namespace vortex::evals
