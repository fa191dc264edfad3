#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "core/engine/kept_model.h"
#include "core/model/model.h"
#include "job/job.h"

namespace vortex::evals {

// Who can read prompts while others work: a job with a prefix folder, and its model on the CPU, kept in memory.
struct AheadReader {
  job::Job job;
  model::Model model;  // without weights of its own
  std::shared_ptr<const engine::KeptModel> kept;
};

// Computes K and V of these tasks' prompts on one thread and keeps them in the job's prefix folder, as far as they fit
// there beside what is kept already (Job::prefix_bytes); those that are there are left out. Ends early once `stop`,
// which is asked before every prompt, says so.
Status read_ahead(const AheadReader& reader, const std::vector<job::TaskSpec>& tasks,
                  const std::function<bool()>& stop);

}  // namespace vortex::evals
