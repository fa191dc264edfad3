#include "base/percent.h"

#include <cstdio>

namespace vortex {

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %%", 100 * share);
  return text;
}

}  // namespace vortex
