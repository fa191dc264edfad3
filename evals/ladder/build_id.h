#pragma once

#include <string>

namespace vortex::evals {

// Identifies the running program: the GNU build id that the linker computed from its contents, in hexadecimal. Two
// programs with one id are the same bytes. "unknown" when it was linked without one.
std::string build_id();

}  // namespace vortex::evals
