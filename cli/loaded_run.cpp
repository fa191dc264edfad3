#include "cli/loaded_run.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace vortex::cli {
namespace {

Result<LoadedRun> load(std::unique_ptr<db::Store> store, const db::Run& run) {
  LoadedRun loaded;
  VORTEX_ASSIGN(loaded.options, options_of(run));
  VORTEX_ASSIGN(loaded.history, agent::read_history(*store, run));
  loaded.store = std::move(store);
  return loaded;
}

}  // namespace

Result<LoadedRun> load_run(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(std::unique_ptr<db::Store> store, db::Store::open_read_only(context.workspace));
  VORTEX_ASSIGN(const db::Run run, find_run(*store, name));
  return load(std::move(store), run);
}

Result<LoadedRun> load_run_of(const Context& context, int64_t candidate) {
  VORTEX_ASSIGN(std::unique_ptr<db::Store> store, db::Store::open_read_only(context.workspace));
  VORTEX_ASSIGN(const db::Candidate row, find_candidate(*store, candidate));
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store->runs());
  for (const db::Run& run : runs) {
    if (run.id == row.run) return load(std::move(store), run);
  }
  return internal_error("candidate " + std::to_string(candidate) + " belongs to no search");
}

Result<agent::SearchOptions> options_of(const db::Run& run) {
  const auto config = nlohmann::json::parse(run.config, nullptr, false);
  auto options = agent::options_from_json(config);
  if (options.ok()) return options;
  return environment_error("the options of search " + run.name + " cannot be read: " + options.error().message,
                           "it was started by another version of vortex, or the database is damaged");
}

Result<CandidateFiles> files_of(db::Store& store, const db::Candidate& candidate) {
  CandidateFiles files;
  if (!candidate.module_object.empty()) {
    VORTEX_ASSIGN(files.module_text, store.get_object(candidate.module_object));
  }
  if (!candidate.config_object.empty()) {
    VORTEX_ASSIGN(files.config_text, store.get_object(candidate.config_object));
  }
  return files;
}

}  // namespace vortex::cli
