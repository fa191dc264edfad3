#pragma once

#include <string>
#include <vector>

#include "cli/output.h"
#include "job/stage.h"

namespace vortex::cli {

// A row a stage: verdict, seconds, metrics with their intervals, and the reason where it did not pass.
Table stage_table(const std::vector<job::StageResult>& results);

}  // namespace vortex::cli
