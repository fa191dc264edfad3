#pragma once

#include <optional>

#include "agent/history.h"
#include "agent/hypervolume.h"
#include "agent/options.h"

namespace vortex::agent {

// A search's two arms, beside what both start from: dense attention and the seeds. Nothing where it had no control arm.
std::optional<ArmComparison> arms_of(const History& history, const SearchOptions& options);

}  // namespace vortex::agent
