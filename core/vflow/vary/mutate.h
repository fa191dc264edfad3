#pragma once

#include <string>

#include "base/rng.h"
#include "core/vflow/policy.h"

namespace vortex::vflow {

// A changed policy and what was done, in words: the lineage edge's operator.
struct Variation {
  Policy policy;
  std::string description;  // e.g. "topk_val 29 -> 21", "replace Mean by Max in the cache program"
  PolicySource source;      // of the policy, as print_policy has it
  CheckReport report;       // of that source: nobody need check it again
};

// Prints a policy and checks what was printed.
Variation as_variation(Policy policy, std::string description, const ModelGeometry& model);

// One typed change of the op graph or of the configuration. The result always checks against `model`, computes
// something else than its parent (policy_key), and stays finite where the parent does (ranges.h). About 6 changes in 10
// are of the program (program_moves.cpp: other reductions, constants and score families, blends, wrappers), the rest of
// the configuration (config_moves.cpp) and of the block size; weights stand beside the moves, on one scale.
Variation mutate(const Policy& parent, Rng& rng, const ModelGeometry& model);

// The policy with more pages to choose (half as many again, or twice), or with fewer (two thirds, or half). Checks and
// differs likewise; where there is no such budget (a Union's selections bring their own) another value is changed.
Variation resize(const Policy& parent, bool more, Rng& rng, const ModelGeometry& model);

// The policy with as many pages as the model's token budget leaves it, by the default rule. Where pages are larger than
// that, or a Union's selections bring a k of their own, what comes out still exceeds it, and its report says so.
Variation within_token_budget(const Policy& parent, const ModelGeometry& model);

// Joins a sub-expression or configuration of `b` into `a`, or gives `a` the program of `b`. The result always checks
// against `model` and differs from `a`; it keeps the block size of `a`.
Variation crossover(const Policy& a, const Policy& b, Rng& rng, const ModelGeometry& model);

}  // namespace vortex::vflow
