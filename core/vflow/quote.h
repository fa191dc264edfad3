#pragma once

#include <string>
#include <string_view>

namespace vortex::vflow {

// A name or a piece of source as messages show it.
inline std::string quote(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace vortex::vflow
