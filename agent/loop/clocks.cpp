#include "agent/loop/clocks.h"

#include "study/retest.h"

namespace vortex::agent {
namespace {

// The race of its climb; null where it came to none.
const db::StageRow* count_race(const study::CandidateHistory& candidate, Clocks& clocks) {
  const db::StageRow* race = study::last_stage(candidate, job::Stage::kRace);
  if (race != nullptr) { clocks.race_problems += static_cast<int64_t>(study::outcomes_of(candidate, *race).size()); }
  return race;
}

}  // namespace

void Clocks::count_dense_climb(const study::CandidateHistory& dense) { count_race(dense, *this); }

void Clocks::count_climb(const study::CandidateHistory& policy) {
  for (const db::StageRow& row : study::last_climb(policy)) { climb_seconds += row.seconds; }
  const db::StageRow* race = count_race(policy, *this);
  if (race != nullptr) { policy_race_seconds = race->seconds; }
}

void Clocks::count_new_problems(const study::CandidateHistory& dense, const std::vector<Assignment>& tasks) {
  for (const Assignment& task : tasks) {
    if (task.candidate != dense.row.id || task.kind != Assignment::Kind::kRetest) { continue; }
    const db::StageRow* row = study::last_stage(dense, study::retest_stage(task.round));
    new_problems_seconds += row == nullptr ? 0 : row->seconds;
  }
}

}  // namespace vortex::agent
