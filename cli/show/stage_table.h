#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/output.h"
#include "job/stage.h"

namespace vortex::cli {

// Seconds that a stage should have cost, by its evidence; "-" where nobody planned.
std::string planned_text(const nlohmann::json& evidence);

// A row a stage: verdict, seconds planned and spent, metrics with their intervals, and the reason where it did not
// pass.
Table stage_table(const std::vector<job::StageResult>& results);

}  // namespace vortex::cli
