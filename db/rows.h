#pragma once

#include "db/sqlite.h"
#include "db/store.h"

namespace vortex::db {

// The columns of the tables that more than one class reads, in the order of their structs, and a reader of a row of
// them. `kStageColumns` are of a query that joins stage with candidate. The short ones leave evidence, log tails and
// what graders extracted out.
inline constexpr const char* kRunColumns = "id, name, config, state, started, ended, seconds_used, gpu_seconds_used";
inline constexpr const char* kCandidateColumns =
    "id, run, batch, slot, draw, key, program_hash, module_object, config_object, origin, rationale, state, verdict, "
    "arm";
inline constexpr const char* kStageColumns =
    "stage.id, candidate, attempt, stage, stage.verdict, blame, message, metrics, evidence, log_tail, seconds, created";
inline constexpr const char* kShortStageColumns =
    "stage.id, candidate, attempt, stage, stage.verdict, blame, message, metrics, '{}', '', seconds, created";
inline constexpr const char* kOutcomeColumns =
    "candidate, attempt, stage, problem, trial, correct, tokens, extracted, rule, tokens_hash";
inline constexpr const char* kShortOutcomeColumns =
    "candidate, attempt, stage, problem, trial, correct, tokens, '', '', ''";

Run read_run(Statement& row);
Candidate read_candidate(Statement& row);
LineageEdge read_edge(Statement& row);  // of child, parent, operation
StageRow read_stage(Statement& row);
OutcomeRow read_outcome(Statement& row);
Event read_event(Statement& row);  // of id, run, created, kind, detail

// The first row of a statement whose parameters are bound.
template <typename T>
Result<std::optional<T>> read_first(Statement& statement, T (*read)(Statement&)) {
  std::optional<T> row;
  if (statement.next()) { row = read(statement); }
  VORTEX_TRY(statement.status());
  return row;
}

}  // namespace vortex::db
