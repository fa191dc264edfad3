#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "db/run_reader.h"
#include "db/store.h"
#include "job/stage.h"

namespace vortex::study {

// What the store knows of one candidate. Everything the search decides is decided from these rows alone.
struct CandidateHistory {
  db::Candidate row;
  std::vector<db::LineageEdge> parents;
  std::vector<db::StageRow> stages;  // of all attempts, oldest first
  std::vector<db::OutcomeRow> outcomes;
};

struct History {
  db::Run run;
  std::vector<CandidateHistory> candidates;  // in (batch, slot, draw) order
  const CandidateHistory* find(int64_t candidate) const;
};

inline bool is_dense(const db::Candidate& row) { return row.origin == db::Origin::kDense; }
inline bool is_done(const db::Candidate& row) { return row.state == db::CandidateState::kDone; }
inline bool has_passed(const db::Candidate& row) { return row.verdict == job::Verdict::kPass; }
// In a word: the verdict, or the state where there is none yet.
std::string_view outcome_name(db::CandidateState state, std::optional<job::Verdict> verdict);
// The name that its proposals are counted under: their origin, but one for the whole control arm.
inline constexpr const char* kControlArm = "control arm";
std::string origin_name(db::Origin origin, db::Arm arm);

// The message of a stage that the search's own end cut off: nobody's fault, and no fault of the machine.
inline constexpr const char* kCutOff = "interrupted: the search was told to stop";
inline bool is_cut_off(std::string_view message) { return message == kCutOff; }

Result<History> read_history(db::Store& store, const db::Run& run);
// All candidates by their own rows alone.
Result<History> read_rows(db::Store& store, const db::Run& run);
// Candidates of a range in order of ids, which is the order of the search: without evidence and log tails, and of their
// answers those of races and retests alone.
Result<std::vector<CandidateHistory>> read_range(db::RunReader& reader, db::RunReader::Range range);
// One candidate's rows without its parents: cheap enough for after every candidate.
Result<CandidateHistory> read_candidate(db::Store& store, int64_t candidate);

// The latest row of a stage, or of a further round of it; null when it never got there.
const db::StageRow* last_stage(const CandidateHistory& candidate, db::StageRound stage);
// The check and novelty rows and those of the last worker that climbed (one that only confirmed or retested is not
// meant), oldest first.
std::vector<db::StageRow> last_climb(const CandidateHistory& candidate);
// What a search knew of a candidate beside its climb.
struct Known {
  int retests = 0;         // rounds that are answered
  int speed_runs = 1;      // processes that measured its speed
  bool confirmed = false;  // asked on held-out problems
};
// The candidate as it was then: a search that is resumed decides again what it decided, and must not see what came
// later.
CandidateHistory as_of(CandidateHistory candidate, const Known& known);
// The outcomes that belong to a stage row.
std::vector<job::Outcome> outcomes_of(const CandidateHistory& candidate, const db::StageRow& stage);
// A metric of a stage row; all zero when it has none of this name.
job::Metric metric_of(const db::StageRow& stage, std::string_view name);

db::StageRow to_row(const job::StageResult& result, int64_t candidate, int64_t attempt);
std::vector<db::OutcomeRow> to_rows(const std::vector<job::Outcome>& outcomes, const db::StageRow& stage);

}  // namespace vortex::study
