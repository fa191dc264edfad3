#include "study/arms.h"

#include <utility>

#include "study/standing.h"

namespace vortex::study {

std::optional<ArmComparison> arms_of(const History& history, const SearchOptions& options) {
  std::vector<Point> base;
  Arm search;
  Arm control;
  for (const CandidateHistory& candidate : history.candidates) {
    auto point = point_of(candidate, options.rank_speed, options.seed);
    if (is_dense(candidate.row) || candidate.row.origin == db::Origin::kSeed) {
      if (point) { base.push_back(std::move(*point)); }
      continue;
    }
    const db::StageRow* novelty = last_stage(candidate, job::Stage::kNovelty);
    if (!is_done(candidate.row) || novelty == nullptr || novelty->verdict != job::Verdict::kPass) { continue; }
    Arm& arm = candidate.row.arm == db::Arm::kControl ? control : search;
    ++arm.evaluations;
    if (point) { arm.points.push_back(std::move(*point)); }
  }
  if (control.evaluations == 0) { return std::nullopt; }
  return compare_arms(base, search, control, options.seed);
}

}  // namespace vortex::study
