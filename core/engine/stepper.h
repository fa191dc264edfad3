#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"

namespace vortex::engine {

// What a benchmark drives: decode steps of made-up requests by a model of a named geometry with random weights. Nothing
// depends on the values of tokens; lengths, pages and the policy's work are those of real requests.
class Stepper {
 public:
  virtual ~Stepper() = default;

  // Replaces the policy; nullopt is dense attention in every layer. Nothing is resident afterwards.
  virtual Status set_policy(const std::optional<vflow::Policy>& policy) = 0;

  // Replaces what is resident: request i has lengths[i] >= 1 tokens of random K and V on scattered pages, its pages
  // summarised by the policy. More requests than max_batch or more pages than the pool has are the caller's fault.
  virtual Status place(std::span<const int> lengths) = 0;

  // Prefills a random prompt and makes it resident, as the last one. Gives the seconds it took.
  virtual Result<double> admit(int prompt_tokens) = 0;

  // Takes away resident request `index`; the last one takes its place.
  virtual Status retire(int index) = 0;

  // Decodes `steps` tokens of every resident request, each one longer by `steps` afterwards. Gives the seconds of all
  // steps. What is done only once (tuning, graph capture) is done before the clock starts.
  virtual Result<double> run(int steps) = 0;

  // For profiles: steps lack the named stage from now on ("": none), so that its share shows. What is resident stays.
  virtual Status leave_out(const std::string& stage) {
    return stage.empty() ? ok_status() : candidate_error("stages can be left out on CUDA only, not " + stage);
  }

  virtual int block_size() const = 0;
  virtual int64_t pages() const = 0;  // of the pool

  // Bytes a second of a large copy inside the device's memory, read + write: what limits are compared with.
  virtual Result<double> copy_bandwidth() = 0;

  virtual std::string device() const = 0;  // name, driver
  virtual std::string notes() const = 0;   // what was tuned, a line each; may be empty
};

// Random weights of `config`'s shape, in host memory.
model::Model random_model(const model::ModelConfig& config, uint64_t seed);

Result<std::unique_ptr<Stepper>> make_cpu_stepper(const model::ModelConfig& config, const EngineOptions& options);

}  // namespace vortex::engine
