#pragma once

#include "base/rng.h"
#include "core/vflow/policy.h"
#include "core/vflow/vary/mutate.h"

namespace vortex::vflow {

struct GenerateOptions {
  int max_indexer_ops = 10;
  int max_cache_ops = 5;
  bool save_load = true;  // programs with state carried over steps
  bool mla = false;
};

// A random well-typed policy: it always checks. Reaches every operation of both sides. Same rng state, same policy.
// For q, k and v within [-16, 16] every value of the first 512 decode steps is finite in float32 (ranges.h), so that
// backends can be compared; scores may tie, and comparisons (Where*, Relu) may amplify rounding.
Policy random_policy(Rng& rng, const ModelGeometry& model, const GenerateOptions& options = {});
// The same with its source and what the check said of that.
Variation random_variation(Rng& rng, const ModelGeometry& model, const GenerateOptions& options = {});

}  // namespace vortex::vflow
