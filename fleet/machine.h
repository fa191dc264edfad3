#pragma once

#include <string>

#include "base/result.h"
#include "fleet/message.h"

namespace vortex::fleet {

// What this process has of its machine: the first GPU that it sees, or the processor; at most `threads` threads (0: as
// many as it has cores).
Machine look_at_machine(int threads);

// Which build a vortex-worker program is (evals/ladder/build_id.h), by its own word. Errors: the environment's.
Result<std::string> build_of(const std::string& worker_path);

}  // namespace vortex::fleet
