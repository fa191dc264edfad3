#pragma once

#include <string>

#include "core/base/rng.h"
#include "core/vflow/policy.h"

namespace vortex::vflow {

// A changed policy and what was done, in words: the lineage edge's operator.
struct Variation {
  Policy policy;
  std::string description;  // e.g. "topk_val 29 -> 21", "replace Mean by Max in the cache program"
};

// One typed change of the op graph or of the configuration. The result always checks against `model`.
Variation mutate(const Policy& parent, Rng& rng, const ModelGeometry& model);

// Joins a sub-expression or configuration of `b` into `a`. The result always checks against `model`.
Variation crossover(const Policy& a, const Policy& b, Rng& rng, const ModelGeometry& model);

}  // namespace vortex::vflow
