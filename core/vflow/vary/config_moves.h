#pragma once

#include <string>

#include "base/rng.h"
#include "core/vflow/policy.h"

namespace vortex::vflow {

// A configuration drawn from what policies use in practice.
EngineConfig random_config(Rng& rng, const ModelGeometry& model);

// Sets the keys that vortex_torch demands for some operations: no radix cache with Save, the trtllm backend for Union.
void require_runtime_keys(const Program& program, EngineConfig& config);

// Brings a policy's configuration in line with its program: block size, name, runtime keys, and
// topk_val no larger than the smallest TopK(k) (the scores that Union's tables need exist only then).
void settle_config(Policy& policy);

// Changes one value of the configuration, block size aside; gives the change in words.
std::string change_config(Policy& policy, Rng& rng, const ModelGeometry& model);
// Scales the budget of chosen pages, topk_val and topk_ratio alike; gives the change in words.
std::string scale_budget(Policy& policy, double factor, const ModelGeometry& model);
// How often a change of the configuration happens, on the scale of ProgramMove::weight.
double config_moves_weight();

// Block top-k with the default configuration (block size 16, all defaults), for when nothing else checks.
Policy plain_policy(const ModelGeometry& model, Dialect dialect);

}  // namespace vortex::vflow
