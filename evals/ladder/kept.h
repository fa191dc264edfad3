// Weights and prompts' KV that stay in memory between the workers of a search. A keeper is a process that makes them
// once and only waits from then on; the program that started it hands the descriptors on to every worker, with a label
// that says what they are (Job::kept). Memory of the host is sealed and device memory is mapped read-only: a worker
// that runs wild harms itself alone.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "core/engine/kept_model.h"
#include "core/model/model.h"
#include "evals/ladder/read_ahead.h"
#include "job/job.h"

namespace vortex::evals {

// What a keeper has made. Its descriptors go to the workers in this order.
struct KeptParts {
  nlohmann::json label;
  std::vector<Descriptor> descriptors;
  std::shared_ptr<void> held;         // what must live as long as the keeper does
  std::optional<AheadReader> reader;  // on the CPU, for a job with a prefix folder
};

// Loads the job's model where its workers will want it, and computes the KV of the prompts of its stages, as far as
// they fit beside a worker. What cannot be loaded is whoever's fault load_model() says it is.
Result<KeptParts> keep(const job::Job& job);

// A model as a worker runs it: kept, then `model` has no weights; or its own, then `kept` is null.
struct RunnableModel {
  model::Model model;
  std::shared_ptr<const engine::KeptModel> kept;
};

// Takes what Job::kept labels, if it is for this device (`cuda` or the CPU); else loads the model from its folder. The
// descriptors are closed. Kept memory that cannot be mapped is the environment's fault.
Result<RunnableModel> open_model(const std::filesystem::path& folder, const nlohmann::json& kept, bool cuda);

}  // namespace vortex::evals
