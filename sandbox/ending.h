#pragma once

#include <string>

#include "job/stage.h"
#include "sandbox/process_tree.h"

namespace vortex::sandbox {

// Why a worker's climb ended before its last stage had a result.
enum class Ending {
  kDied,        // it ended by itself, or something else killed it: Exit tells
  kDeadline,    // we killed it: the stage took too long
  kStoodStill,  // we killed it: it took too long, and had been kept from running
  kStopped,     // we killed it: the caller asked
  kProtocol,    // we killed it: it said something that it must not say
  kSilent,      // we killed it: it neither went on nor ended
};

// What a worker was allowed.
struct Allowance {
  int64_t memory_bytes = 0;  // that the user set; 0: none
  double cpu_seconds = 0;
};

// Who is to blame when `stage` was left without a result:
//   deadline, or the CPU-time limit       timeout, candidate
//   stood still                           error, environment: somebody stopped it
//   stopped                               error, environment: to be run again
//   SIGKILL at the memory limit           fail, candidate (or resident size at 80 % of it or above)
//   SIGSYS                                fail, candidate: a system call that nothing honest makes
//   a file beyond its limit (SIGXFSZ)     fail, candidate
//   SIGKILL otherwise                     error, environment: the kernel was out of memory, or somebody killed it
//   its jail ended around it              error, environment: somebody killed that
//   any other signal, exit, protocol, silence   error, internal: our bug
// `detail` says what was wrong (for protocol errors). evidence.exit holds signal or code, peak memory and CPU time.
job::StageResult unfinished_result(job::Stage stage, Ending ending, const Exit& exit, const Allowance& allowance,
                                   const std::string& detail);

// The same judgement of a worker that was to climb no stage.
Error unfinished_error(Ending ending, const Exit& exit, const Allowance& allowance, const std::string& detail);

}  // namespace vortex::sandbox
