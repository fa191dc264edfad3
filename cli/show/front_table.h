#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "cli/output.h"
#include "study/front.h"

namespace vortex::cli {

Table front_table(const std::vector<study::FrontRow>& rows);
nlohmann::json to_json(const study::FrontRow& row);

}  // namespace vortex::cli
