#pragma once

#include <vector>

#include "core/vflow/program.h"

namespace vortex::vflow {

// What decides the selection of pages: everything that the last terminal of the indexer depends on, through operands
// and through the fields that it reads (their last writer on the cache side, their last Save). `-1` where there is
// none. A Save that only feeds itself is dead.
struct Liveness {
  std::vector<bool> cache;    // by node
  std::vector<bool> indexer;  // by node
  std::vector<bool> fields;
  std::vector<int> writer;  // by field: cache node (kStore or kFill)
  std::vector<int> save;    // by field: indexer node
  int terminal = -1;        // indexer node
};

// `through_masks`: whether MaskSlice's operand, of which only the shape matters, counts.
Liveness find_live(const Program& program, bool through_masks = true);

// The program without dead nodes, fields and constants; the order of what is left is kept. Built-in fields stay.
Program pruned(const Program& program);

// The program with values, fields without a Save and constants that are computed twice merged, and dead code removed.
// What it computes stays the same.
Program merged(const Program& program);

}  // namespace vortex::vflow
