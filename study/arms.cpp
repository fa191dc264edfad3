#include "study/arms.h"

namespace vortex::study {

std::optional<ArmComparison> arms_of(const Board& board) {
  std::vector<Point> base;
  Arm search;
  Arm control;
  for (const BoardLine& line : board.lines()) {
    const Point* point = board.point(line.candidate);
    if (line.is_dense() || line.origin == db::Origin::kSeed) {
      if (point != nullptr) { base.push_back(*point); }
      continue;
    }
    if (!line.is_done() || !line.evaluated) { continue; }
    Arm& arm = line.arm == db::Arm::kControl ? control : search;
    ++arm.evaluations;
    if (point != nullptr) { arm.points.push_back(*point); }
  }
  if (control.evaluations == 0) { return std::nullopt; }
  return compare_arms(base, search, control, board.standing().archive().seed());
}

}  // namespace vortex::study
