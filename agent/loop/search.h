#pragma once

#include "agent/session/hooks.h"
#include "base/result.h"
#include "core/vflow/policy.h"
#include "db/store.h"
#include "study/options.h"

namespace vortex::agent {

enum class SearchEnd {
  kBudget,       // the time or the number of evaluations is used up
  kExhausted,    // the proposer finds nothing new
  kInterrupted,  // it was told to stop
};

// Runs or resumes a search until its budget ends, and keeps the run's state in the store. What is decided depends on
// rows and the seed alone. What the search settles itself (SearchOptions::held_out) is written to the run's config.
// An Error ends the search too: the environment's leaves it resumable.
Result<SearchEnd> run_search(db::Store& store, const db::Run& run, const study::SearchOptions& options,
                             const vflow::ModelGeometry& model, const SearchHooks& hooks);

// Does its proposer look at what it is given alone? Others read whatever rows there are, also those of candidates that
// climb meanwhile: batches must not overlap then.
bool may_overlap(const study::SearchOptions& options);

// What would end such a search before its first candidate: its proposer's options, its folder of first policies.
Status check_search(db::Store& store, const study::SearchOptions& options);

}  // namespace vortex::agent
