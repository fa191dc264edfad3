#pragma once

#include <memory>
#include <string>

#include "db/store.h"
#include "study/history.h"
#include "study/options.h"

namespace vortex::study {

// What a run's options name as proposer where no search proposed: `vortex eval` measured one policy.
inline constexpr const char* kEvaluated = "eval";
bool is_evaluation(const db::Run& run);

// The run that a user means: by name or id. Where the text is empty, the newest search with a result, so that one which
// did not get far hides none before it; where none has a result, the newest.
Result<db::Run> find_run(db::Store& store, const std::string& name);
// For who speaks to a search that may have no result yet: where the text is empty, the newest search.
Result<db::Run> find_newest_run(db::Store& store, const std::string& name);
// The name of a search that is newer than `run`, which find_run gave for this text, and has no result yet; empty: none.
Result<std::string> newer_search(db::Store& store, const std::string& name, const db::Run& run);
// A candidate that a user named by its number.
Result<db::Candidate> find_candidate(db::Store& store, int64_t id);

// A search as the workspace holds it, for reading.
struct LoadedRun {
  std::unique_ptr<db::Store> store;
  History history;
  SearchOptions options;
  std::string newer;  // the name of a newer search, which has no result yet; empty: there is none
};

// The search that a user names, the newest with a result when the name is empty.
Result<LoadedRun> load_run(const std::string& workspace, const std::string& name);
// The search that a candidate belongs to.
Result<LoadedRun> load_run_of(const std::string& workspace, int64_t candidate);

// What a search was started with.
Result<SearchOptions> options_of(const db::Run& run);

// A candidate's files; both are empty for dense attention, which has none.
struct CandidateFiles {
  std::string module_text;
  std::string config_text;
};
Result<CandidateFiles> files_of(db::Store& store, const db::Candidate& candidate);

}  // namespace vortex::study
