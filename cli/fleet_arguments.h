#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/context.h"
#include "fleet/fleet.h"
#include "fleet/launcher.h"
#include "study/options.h"

namespace vortex::cli {

// Where a search's workers are, and who starts them.
struct FleetArguments {
  std::string launcher = "local";
  std::string listen;                 // HOST:PORT
  std::vector<std::string> prefixes;  // launcher prefix: one worker each
  std::vector<std::string> options;   // of sbatch, besides those below
  std::string worker_folder;
  bool one_card = false;
  bool own_threads = false;  // nobody said how many a task is to have
  bool keep = true;          // a keeper beside each worker
  double silence_seconds = 75;
  fleet::SlurmWish slurm;

  bool elsewhere() const { return launcher != "local"; }
  // Places for workers that the launcher brings; 0: nobody knows.
  int places() const;
};

// Can a node's GPUs be shared out as a worker wants them (sandbox::check_groups)?
Status check_fleet(const FleetArguments& arguments);

void add_fleet_options(CLI::App* verb, FleetArguments& arguments);
// What a search elsewhere does otherwise, unless it is told: as many tasks at once as there are places, and batches
// that keep them busy. `has`: was this option given?
void fit_to_fleet(const FleetArguments& arguments, const std::function<bool(const char*)>& has,
                  study::SearchOptions& options);
// The script that would be submitted, for --dry-run; empty where none would be.
std::string shown_script(const FleetArguments& arguments, const Context& context);

// A search's workers on other machines, from their start to their end.
class RemoteWorkers {
 public:
  struct Hooks {
    std::function<void(const std::string&)> on_message;
    std::function<void(const std::string& kind, const nlohmann::json& detail)> on_event;
  };
  // Listens, has the workers started; `ahead` are the tasks whose prompts keepers read ahead.
  static Result<std::unique_ptr<RemoteWorkers>> start(const FleetArguments& arguments, const Context& context,
                                                      const study::SearchOptions& options, const std::string& run,
                                                      std::vector<job::TaskSpec> ahead, Hooks hooks);
  ~RemoteWorkers();
  RemoteWorkers(const RemoteWorkers&) = delete;
  RemoteWorkers& operator=(const RemoteWorkers&) = delete;

  // Until a worker is ready. An Error (environment): all that were started have ended, or `should_stop` said so.
  Status wait_for_first(const std::function<bool()>& should_stop);
  fleet::Fleet& fleet() { return *fleet_; }

 private:
  RemoteWorkers(FleetArguments arguments, const Context& context, std::string run, Hooks hooks);
  Status listen(const study::SearchOptions& options, std::vector<job::TaskSpec> ahead);
  Status bring_workers();

  const FleetArguments arguments_;
  const Context& context_;
  std::string run_;
  std::string folder_;  // of the workspace, for what belongs to workers
  Hooks hooks_;
  std::unique_ptr<fleet::Fleet> fleet_;
  fleet::SlurmJobs jobs_;
  fleet::StartedWorkers started_;
};

}  // namespace vortex::cli
