#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/folder_state.h"
#include "base/result.h"
#include "job/generation.h"
#include "job/job.h"
#include "job/stage.h"
#include "sandbox/jail.h"

namespace vortex::sandbox {

class WorkerSlots;

struct ExecutorOptions {
  std::string worker_path;   // the vortex-worker program
  std::string scratch_root;  // a fresh folder below it for every worker, removed afterwards
  // Wall-clock seconds a stage. Missing: a minute and ten times what the worker says that the stage should cost, at
  // most a day; the ladder's own (job/stage.h) where it does not say.
  std::map<job::Stage, double> deadlines;
  int64_t memory_bytes = 0;   // of the worker; 0: most of the machine's. At least 2 GiB with LibTorch
  double cpu_seconds = 3600;  // RLIMIT_CPU
  double start_seconds = 60;  // until the worker says hello
  double idle_seconds = 30;   // between two stages
  int64_t cache_reserve_bytes = int64_t{1} << 30;  // with less left on their disk, caches are done without
  FolderState model_files;       // of the model, when it was first used; empty: as they are when a job starts
  WorkerSlots* slots = nullptr;  // where jobs run side by side, and with whose weights; null: anywhere
  JailOptions jail;              // how it is held
};

// The whole environment of a worker at home in `folder`: no keys, no settings of ours.
std::vector<std::string> worker_environment(const std::string& folder);

// Runs one job in a process of its own: held by every layer that the machine allows (jail.h), with a scrubbed
// environment, resource limits, a fresh working directory, a deadline a stage. check and novelty are not a worker's
// stages and are passed over. `on_result` gets every finished stage the moment it is reported, with the layers that
// held in evidence.sandbox; `should_stop` is polled ten times a second. On a deadline, on should_stop, or when the
// worker dies or misbehaves, the whole process tree is killed and the stage that was running (or would have come next)
// gets a result whose blame verdict.h explains; see evidence.exit. Returns all results, each with the end of what the
// worker had logged by then. The model's folder is looked at before and after every stage: what was measured while a
// file in it changed is the environment's fault; see evidence.model_changed. An Error (environment) means that no
// worker could be started: it did not say hello in time, one of another version did, or a layer that is required does
// not hold. Safe to call from several threads at once.
Result<std::vector<job::StageResult>> run_job(const job::Job& job, const ExecutorOptions& options,
                                              const std::function<void(const job::StageResult&)>& on_result,
                                              const std::function<bool()>& should_stop);

// Runs one generation in such a process; `events` hear of each token and each run the moment it is reported. Stopped on
// request, refused by the worker, or left unfinished in any other way: an Error. There is no deadline but that the
// worker must not be silent for an hour.
Status run_generation(job::GenerationJob job, const ExecutorOptions& options, const job::GenerationEvents& events,
                      const std::function<bool()>& should_stop);

}  // namespace vortex::sandbox
