#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "evals/job.h"
#include "evals/stage.h"

namespace vortex::sandbox {

struct ExecutorOptions {
  std::string worker_path;                   // the vortex-worker program
  std::string scratch_root;                  // a fresh folder below it for every worker, removed afterwards
  std::map<evals::Stage, double> deadlines;  // wall-clock seconds a stage; missing: 600
  int64_t memory_bytes = 0;                  // RLIMIT_AS of the worker; 0: none. At least 2 GiB with LibTorch
  double cpu_seconds = 3600;                 // RLIMIT_CPU
};

// Runs one job in a process of its own: own process group, scrubbed environment, resource limits, a deadline a stage.
// `on_result` gets every finished stage the moment it is reported; `should_stop` is polled a few times a second. On a
// deadline, on should_stop, or when the worker dies, the whole process tree is killed and the stage that was running
// gets a result (timeout: candidate; killed by a signal or exit without a result: see evidence.exit). Returns all
// results. An Error means that no worker could be started at all.
Result<std::vector<evals::StageResult>> run_job(const evals::Job& job, const ExecutorOptions& options,
                                                const std::function<void(const evals::StageResult&)>& on_result,
                                                const std::function<bool()>& should_stop);

}  // namespace vortex::sandbox
