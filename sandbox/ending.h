#pragma once

#include "job/stage.h"
#include "sandbox/process_tree.h"

namespace vortex::sandbox {

// Why a worker's climb ended before its last stage had a result.
enum class Ending {
  kDied,      // it ended by itself, or something else killed it: Exit tells
  kDeadline,  // we killed it: the stage took too long
  kStopped,   // we killed it: the caller asked
  kProtocol,  // we killed it: it said something that it must not say
  kSilent,    // we killed it: it neither went on nor ended
};

// Who is to blame when `stage` was left without a result:
//   deadline, or the CPU-time limit       timeout, candidate
//   stopped                               error, environment: to be run again
//   SIGKILL at the memory limit           fail, candidate (resident size at 80 % of `memory_bytes` or above)
//   SIGKILL otherwise                     error, environment: the kernel was out of memory, or somebody killed it
//   any other signal, exit, protocol, silence   error, internal: our bug
// `detail` says what was wrong (for protocol errors). evidence.exit holds signal or code, peak memory and CPU time.
job::StageResult unfinished_result(job::Stage stage, Ending ending, const Exit& exit, int64_t memory_bytes,
                                   double cpu_limit, const std::string& detail);

// The same judgement of a worker that was to climb no stage.
Error unfinished_error(Ending ending, const Exit& exit, int64_t memory_bytes, double cpu_limit,
                       const std::string& detail);

}  // namespace vortex::sandbox
