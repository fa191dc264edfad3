#include "base/clock.h"

#include <chrono>

namespace vortex {
namespace {

template <typename Clock>
double seconds() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

}  // namespace

double monotonic_seconds() { return seconds<std::chrono::steady_clock>(); }
double wall_seconds() { return seconds<std::chrono::system_clock>(); }

}  // namespace vortex
