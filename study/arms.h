#pragma once

#include <optional>

#include "study/history.h"
#include "study/hypervolume.h"
#include "study/options.h"

namespace vortex::study {

// A search's two arms, beside what both start from: dense attention and the seeds. Nothing where it had no control arm.
std::optional<ArmComparison> arms_of(const History& history, const SearchOptions& options);

}  // namespace vortex::study
