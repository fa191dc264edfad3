#pragma once

#include "core/compile/executable.h"
#include "kernels/cpu/isa.h"

namespace vortex::compile {

// compile_cpu for one instruction set: results are the same on all of them, which tests check with this.
Result<std::unique_ptr<Executable>> compile_cpu_for(const vflow::Policy& policy, cpu::Isa isa);

}  // namespace vortex::compile
