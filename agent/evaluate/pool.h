#pragma once

#include <cstddef>
#include <functional>

namespace vortex::agent {

// Does tasks 0 .. count-1 on `workers` threads, in order of start. Before each, `may_start(task)` is asked, from one
// thread at a time; once it says no, no further task is started. Calls `tick` from the calling thread about ten times a
// second, and returns when all started tasks have ended.
void run_pool(size_t count, int workers, const std::function<bool(size_t)>& may_start,
              const std::function<void(size_t)>& work, const std::function<void()>& tick);

}  // namespace vortex::agent
