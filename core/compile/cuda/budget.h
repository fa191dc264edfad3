#pragma once

#include <string>

#include "core/vflow/config/config.h"

namespace vortex::compile {

// The device function `int budget(int blocks, int topk_val)`: how many blocks a row of that many attends, before it is
// cut to them.
// Equal to vflow::Schedule::budget for every input.
std::string emit_budget(const vflow::EngineConfig& config);

}  // namespace vortex::compile
