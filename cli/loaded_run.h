#pragma once

#include <memory>
#include <string>

#include "agent/history.h"
#include "agent/options.h"
#include "cli/context.h"
#include "db/store.h"

namespace vortex::cli {

// A search as the workspace holds it, for reading.
struct LoadedRun {
  std::unique_ptr<db::Store> store;
  agent::History history;
  agent::SearchOptions options;
};

// The search that a user names, the newest when the name is empty.
Result<LoadedRun> load_run(const Context& context, const std::string& name);
// The search that a candidate belongs to.
Result<LoadedRun> load_run_of(const Context& context, int64_t candidate);

// What a search was started with.
Result<agent::SearchOptions> options_of(const db::Run& run);

// A candidate's files; both are empty for dense attention, which has none.
struct CandidateFiles {
  std::string module_text;
  std::string config_text;
};
Result<CandidateFiles> files_of(db::Store& store, const db::Candidate& candidate);

}  // namespace vortex::cli
