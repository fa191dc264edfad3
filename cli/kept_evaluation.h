#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "db/store.h"
#include "job/job.h"

namespace vortex::cli {

struct KeptEvaluation {
  std::string run;
  int64_t candidate = 0;
};

// Stores what `vortex eval` found as a search's rows are stored, under a run of its own (eval-1, eval-2, ...) that no
// search is: `show`, `list`, `diff`, `replay` and `export` know its candidates. `module` names the policy's file;
// `dense` may be empty. Rows only: it may go beside a search of the workspace.
Result<KeptEvaluation> keep_evaluation(db::Store& store, const job::Job& job, const std::string& module,
                                       const std::vector<job::StageResult>& dense,
                                       const std::vector<job::StageResult>& results);

}  // namespace vortex::cli
