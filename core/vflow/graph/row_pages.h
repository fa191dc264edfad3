#pragma once

#include <cstdint>

#include "core/vflow/policy.h"

namespace vortex::vflow {

// How many pages a row of so many attends: the same whatever its scores, or, where several lists are chosen that may
// have pages in common (Union), a number from `least` to `most`.
struct RowPages {
  int64_t least = 0;
  int64_t most = 0;
  int64_t reserved = 0;  // of them, whatever the policy chooses; all, where all fit the budget
};

// Of a checked policy. A list of TopK(k) is of k pages and the reserved ones, whatever the budget; a row that fits the
// budget attends to everything.
RowPages row_pages(const Policy& policy, int blocks);
RowPages row_pages(const Program& program, const EngineConfig& config, int blocks);

}  // namespace vortex::vflow
