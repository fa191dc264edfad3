#pragma once

#include "core/vflow/config/config.h"

namespace vortex::vflow {

// Sets a budget of `pages` chosen pages, reserved ones aside, for rows of any length: the default rule, and no share.
inline void set_fixed_budget(EngineConfig& config, int pages) {
  config.topk_val = pages;
  config.topk_ratio = 0;
  config.schedule_policy.clear();
  config.schedule = {};
}

}  // namespace vortex::vflow
