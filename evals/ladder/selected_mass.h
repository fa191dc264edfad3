#pragma once

#include "core/engine/engine.h"

namespace vortex::evals {

// Share of attention's softmax mass that lies on the chosen pages, averaged over requests and query heads: what dense
// attention with these queries would have given to them. `group` query heads share a kv head; `scale` multiplies q.k.
// 1 when the layer is dense.
double selected_mass(const engine::AttentionView& view, int group, double scale);

}  // namespace vortex::evals
