#pragma once

#include "agent/prompts/prompt.h"

namespace vortex::agent {

// The templates of agent/prompts, compiled in.
const Templates& builtin_templates();

}  // namespace vortex::agent
