#pragma once

#include <optional>

#include "study/board.h"
#include "study/hypervolume.h"

namespace vortex::study {

// A search's two arms, beside what both start from: dense attention and the seeds. Nothing where it had no control arm.
std::optional<ArmComparison> arms_of(const Board& board);

}  // namespace vortex::study
