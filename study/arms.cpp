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
    if (candidate.row.origin == "dense" || candidate.row.origin == "seed") {
      if (point) { base.push_back(std::move(*point)); }
      continue;
    }
    const db::StageRow* novelty = last_stage(candidate, "novelty");
    if (candidate.row.state != "done" || novelty == nullptr || novelty->verdict != "pass") { continue; }
    Arm& arm = candidate.row.arm == "control" ? control : search;
    ++arm.evaluations;
    if (point) { arm.points.push_back(std::move(*point)); }
  }
  if (control.evaluations == 0) { return std::nullopt; }
  return compare_arms(base, search, control, options.seed);
}

}  // namespace vortex::study
