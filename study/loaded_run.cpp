#include "study/loaded_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"

namespace vortex::study {
namespace {

Result<LoadedRun> load(std::unique_ptr<db::Store> store, const db::Run& run) {
  LoadedRun loaded;
  VORTEX_ASSIGN(loaded.options, options_of(run));
  VORTEX_ASSIGN(loaded.history, read_history(*store, run));
  loaded.store = std::move(store);
  return loaded;
}

Result<std::vector<db::Run>> searches_first(db::Store& store) {
  VORTEX_ASSIGN(std::vector<db::Run> runs, store.runs());
  if (runs.empty()) { return candidate_error("this workspace has no searches yet", "start one: vortex search"); }
  std::stable_partition(runs.begin(), runs.end(), [](const db::Run& run) { return !is_evaluation(run); });
  return runs;
}

Result<db::Run> named_run(db::Store& store, const std::vector<db::Run>& runs, const std::string& name) {
  VORTEX_ASSIGN(const std::optional<db::Run> run, store.find_run(name));
  if (run) { return *run; }
  std::vector<std::string> names;
  for (const db::Run& other : runs) { names.push_back(other.name); }
  const auto nearest = nearest_word(name, names);
  return candidate_error("no search is called " + name,
                         nearest ? "did you mean " + *nearest + "?" : "`vortex status` lists them");
}

// Once dense attention is measured there is something to see.
Result<bool> has_result(db::Store& store, const db::Run& run) {
  VORTEX_ASSIGN(const std::vector<db::Candidate> candidates, store.candidates(run.id));
  return std::any_of(candidates.begin(), candidates.end(), has_passed);
}

}  // namespace

bool is_evaluation(const db::Run& run) {
  const auto config = nlohmann::json::parse(run.config, nullptr, false);
  return config.is_object() && config.value("proposer", "") == kEvaluated;
}

Result<db::Run> find_run(db::Store& store, const std::string& name) {
  VORTEX_ASSIGN(const std::vector<db::Run> runs, searches_first(store));
  if (!name.empty()) { return named_run(store, runs, name); }
  for (const db::Run& run : runs) {
    VORTEX_ASSIGN(const bool found, has_result(store, run));
    if (found) { return run; }
  }
  return runs.front();
}

Result<db::Run> find_newest_run(db::Store& store, const std::string& name) {
  VORTEX_ASSIGN(const std::vector<db::Run> runs, searches_first(store));
  return name.empty() ? runs.front() : named_run(store, runs, name);
}

Result<std::string> newer_search(db::Store& store, const std::string& name, const db::Run& run) {
  VORTEX_ASSIGN(const db::Run newest, find_newest_run(store, name));
  return newest.id != run.id && !is_evaluation(newest) ? newest.name : std::string();
}

Result<db::Candidate> find_candidate(db::Store& store, int64_t id) {
  VORTEX_ASSIGN(const std::optional<db::Candidate> candidate, store.find_candidate(id));
  if (candidate) { return *candidate; }
  return candidate_error("there is no candidate " + std::to_string(id), "`vortex list` shows them");
}

Result<LoadedRun> load_run(const std::string& workspace, const std::string& name) {
  VORTEX_ASSIGN(std::unique_ptr<db::Store> store, db::Store::open_read_only(workspace));
  VORTEX_ASSIGN(const db::Run run, find_run(*store, name));
  VORTEX_ASSIGN(std::string newer, newer_search(*store, name, run));
  VORTEX_ASSIGN(LoadedRun loaded, load(std::move(store), run));
  loaded.newer = std::move(newer);
  return loaded;
}

Result<LoadedRun> load_run_of(const std::string& workspace, int64_t candidate) {
  VORTEX_ASSIGN(std::unique_ptr<db::Store> store, db::Store::open_read_only(workspace));
  VORTEX_ASSIGN(const db::Candidate row, find_candidate(*store, candidate));
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store->runs());
  for (const db::Run& run : runs) {
    if (run.id == row.run) { return load(std::move(store), run); }
  }
  return internal_error("candidate " + std::to_string(candidate) + " belongs to no search");
}

Result<SearchOptions> options_of(const db::Run& run) {
  const auto config = nlohmann::json::parse(run.config, nullptr, false);
  auto options = options_from_json(config);
  if (options.ok()) { return options; }
  return environment_error("the options of search " + run.name + " cannot be read: " + options.error().message,
                           "it was started by another version of vortex, or the database is damaged");
}

Result<CandidateFiles> files_of(db::Store& store, const db::Candidate& candidate) {
  CandidateFiles files;
  if (!candidate.module_object.empty()) { VORTEX_ASSIGN(files.module_text, store.get_object(candidate.module_object)); }
  if (!candidate.config_object.empty()) { VORTEX_ASSIGN(files.config_text, store.get_object(candidate.config_object)); }
  return files;
}

}  // namespace vortex::study
