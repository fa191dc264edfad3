#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "db/store.h"
#include "web/server/runs.h"

namespace vortex::web {

// What the API answers, view by view (web/openapi.json describes the members).

// A command that people copy. `vortex` says how this program is called, with {} where its arguments belong.
std::string command_of(const std::string& vortex, const std::string& arguments);

Result<nlohmann::json> about_json(const std::filesystem::path& workspace, bool actions, const std::string& vortex);
Result<nlohmann::json> runs_json(Runs& runs);
Result<nlohmann::json> candidates_json(const LiveRun& run, const std::map<std::string, std::string>& query);
Result<nlohmann::json> lineage_json(const LiveRun& run);
Result<nlohmann::json> diversity_json(db::Store& store, const LiveRun& run);
Result<nlohmann::json> failures_json(const LiveRun& run);
Result<nlohmann::json> notebook_json(db::Store& store, const LiveRun& run);
Result<nlohmann::json> environment_json(db::Store& store, const LiveRun& run, const std::filesystem::path& workspace);
// Reads all rows of the run.
Result<nlohmann::json> brief_json(const std::filesystem::path& workspace, const LiveRun& run,
                                  const std::string& vortex);
Result<nlohmann::json> candidate_json(db::Store& store, const LiveRun& run, int64_t candidate,
                                      const std::string& vortex);
Result<nlohmann::json> compare_json(db::Store& store, Runs& runs, const std::vector<int64_t>& candidates);
Result<nlohmann::json> call_json(db::Store& store, int64_t call);

// The run that a candidate belongs to, by its name.
Result<std::string> run_of(db::Store& store, int64_t candidate);

}  // namespace vortex::web
