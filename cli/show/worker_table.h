#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "fleet/roster.h"

namespace vortex::cli {

// Who works for a search that has workers on other machines, and what its nodes did; nothing for any other search.
std::optional<fleet::Roster> roster_of(const std::string& workspace, const std::string& run);

// The workers that are connected: what each is and does. At most `most` of them, those that work before the others; how
// many are left out stands below.
std::string worker_table(const fleet::Roster& roster, size_t most, size_t columns);

// A line for each node, with its share of busy time and its faults: of a search that runs with the workers that are
// connected now, else with those that ever joined.
enum class NodesOf { kNow, kWholeSearch };
std::vector<std::string> node_headings(NodesOf when);
std::vector<std::vector<std::string>> node_rows(const fleet::Roster& roster, NodesOf when);

}  // namespace vortex::cli
