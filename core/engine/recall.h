// What share of dense attention's softmax the attended pages hold, in host memory.
#pragma once

#include <span>

#include "core/engine/engine.h"

namespace vortex::engine {

// Pages that are attended whatever their score.
struct ReservedPages {
  int first = 0;  // pages at the start of a row
  int last = 0;   // and at its end
};

// Adds one look at a layer with a selection: `sums[i]` points to the [kv head] sums of request i of the view. `scale`
// multiplies q.k. A set without a page to choose from, or from which none was chosen, counts as a share of 1 in what is
// asked of the best of it.
void add_look(const AttentionView& view, const ReservedPages& reserved, double scale,
              std::span<AttentionRecall* const> sums);

// Sums over looks to means.
void finish_looks(std::span<AttentionRecall> sums);

}  // namespace vortex::engine
