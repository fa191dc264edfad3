#pragma once

#include <ctime>

namespace vortex::engine {

// Seconds that this process has computed, on all threads: what others do on the same cores hardly shows.
inline double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace vortex::engine
