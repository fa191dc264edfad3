#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/output.h"
#include "study/front.h"

namespace vortex::cli {

// What held-out problems say of a member, for a table.
std::string claim_cell(const study::FrontRow& row);
// A difference to dense attention that is shrunk towards the mean of all candidates (study/claims.h), for a table.
std::string shrunk_cell(const std::optional<evals::Interval>& shrunk);
Table front_table(const std::vector<study::FrontRow>& rows);
nlohmann::json front_record(const study::FrontRow& row);
// The members of that which are numbers or words, in the order in which a table of values has them.
std::vector<std::string> front_members();

}  // namespace vortex::cli
