#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::cli {

// Becomes the program `name`, which lies beside this one: those that open an engine are programs of their own. Comes
// back only if that failed, which is the environment's fault.
Result<int> become(const std::string& name, std::vector<std::string> arguments);

// The same, and the program finds `input` on its standard input.
Result<int> become_with_input(const std::string& name, const std::string& input);

}  // namespace vortex::cli
