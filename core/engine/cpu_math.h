#pragma once

#include <string>

#include "base/result.h"
#include "kernels/cpu/unit.h"

namespace vortex::engine {

// The unit behind a choice of arithmetic on the CPU: "float32", or "bf16", which is the fastest bfloat16 unit that this
// machine has. The units' own names (kernels/cpu/unit.h) are known, too. A unit that the machine lacks is the
// environment's fault, any other word the candidate's.
Result<cpu::Unit> find_unit(const std::string& math);

// "float32" or "bf16".
std::string math_name(cpu::Unit unit);

}  // namespace vortex::engine
