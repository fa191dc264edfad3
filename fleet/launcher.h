#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/channel.h"
#include "sandbox/process_tree.h"

namespace vortex::fleet {

// How a worker is started, wherever that happens.
struct WorkerCommand {
  std::string program;  // vortex, by its absolute path
  Address search;
  std::string token_file;
  std::vector<std::string> options;  // further ones of `vortex worker`
};
// As a shell takes it.
std::string command_text(const WorkerCommand& command);

// What is asked of Slurm: one job a node, in an array, so that each begins as soon as a node is free for it.
struct SlurmWish {
  int nodes = 1;
  int workers_per_node = 1;
  int gpus_per_node = 0;
  int gpus_per_worker = 1;  // of them
  int cpus_per_worker = 1;
  std::string memory;              // of a node, as sbatch has it; empty: not said
  std::string partition;           // empty: the default one
  std::string time;                // limit; empty: the partition's
  std::vector<std::string> extra;  // further options of sbatch: "--account=physics"
};

// The batch script: starts a worker for each place of a node, each in a step with its own cores and GPU.
std::string batch_script(const std::string& run, const SlurmWish& wish, const WorkerCommand& command,
                         const std::string& log_folder);
// What stands before a worker's command inside an allocation.
std::string srun_prefix(const SlurmWish& wish);

// Batch jobs that belong to a search. Its program may die: which jobs there are is in a file, and a later sitting takes
// them over.
class SlurmJobs {
 public:
  // `folder`: of script, logs and that file; every node must see it.
  SlurmJobs(std::string run, std::string folder) : run_(std::move(run)), folder_(std::move(folder)) {}

  // Submits the script, unless jobs of an earlier sitting still wait or run. Says what it did. Errors: the
  // environment's, with what sbatch said.
  Result<std::string> submit(const std::string& script);
  // Cancels what is left of them. What scancel says comes back; empty: nothing.
  std::string cancel();

 private:
  std::string job_file() const { return folder_ + "/slurm-" + run_ + ".job"; }

  std::string run_;
  std::string folder_;
};

// Workers that this process starts itself through a prefix (ssh, srun), each a process tree of ours.
class StartedWorkers {
 public:
  // The command's output goes to `log`.
  Status start(const std::string& prefix, const WorkerCommand& command, const std::string& log);
  int count() const { return static_cast<int>(workers_.size()); }
  // How many have ended by themselves.
  int ended() const;

 private:
  std::vector<std::unique_ptr<sandbox::ProcessTree>> workers_;
};

}  // namespace vortex::fleet
