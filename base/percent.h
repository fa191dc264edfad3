#pragma once

#include <string>

namespace vortex {

// A share in percent with three significant digits, e.g. "66.7 %".
std::string percent(double share);

}  // namespace vortex
