#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "cli/interrupt.h"
#include "cli/verbs/verbs.h"
#include "fleet/machine.h"
#include "fleet/pilot.h"
#include "fleet/token.h"
#include "sandbox/folders.h"

namespace vortex::cli {
namespace {

struct WorkerArguments {
  std::string connect;
  std::string token_file;
  std::string folder;
  std::string name;
  std::string patience = "15m";
  int threads = 0;
};

std::atomic<bool> g_drain = false;

// Slurm's warning that a job's end is near. Whoever takes the machine back says SIGTERM.
void on_warning(int) { g_drain = true; }

fleet::Wish wish() {
  if (interrupts() > 0) { return fleet::Wish::kEnd; }
  return g_drain ? fleet::Wish::kDrain : fleet::Wish::kNone;
}

void catch_signals() {
  catch_interrupts();
  struct sigaction action = {};
  action.sa_handler = on_warning;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR1, &action, nullptr);
}

Result<fleet::PilotOptions> pilot_options(const WorkerArguments& arguments, const std::string& worker) {
  fleet::PilotOptions options;
  VORTEX_ASSIGN(options.search, fleet::parse_address(arguments.connect));
  VORTEX_ASSIGN(options.token, fleet::read_token(arguments.token_file));
  VORTEX_ASSIGN(options.build, fleet::build_of(worker));
  VORTEX_ASSIGN(options.patience_seconds, parse_duration(arguments.patience));
  options.machine = fleet::look_at_machine(arguments.threads);
  options.name = arguments.name.empty() ? options.machine.node + "-" + std::to_string(::getpid()) : arguments.name;
  options.wish = wish;
  options.on_message = log_line;
  return options;
}

Result<int> work(const WorkerArguments& arguments, const Context& context) {
  catch_signals();
  std::error_code ec;
  VORTEX_ASSIGN(const std::string found, find_worker(context));
  fleet::LocalWorkshop::Options place;
  place.worker_path = std::filesystem::absolute(found, ec).lexically_normal().string();
  place.folder = arguments.folder.empty() ? sandbox::temporary_scratch_root() : arguments.folder;
  place.folder = std::filesystem::absolute(place.folder, ec).lexically_normal().string();
  VORTEX_ASSIGN(place.jail, jail_options(context));
  place.on_notice = log_line;
  VORTEX_ASSIGN(const fleet::PilotOptions options, pilot_options(arguments, place.worker_path));
  log_line("worker " + options.name + " of " + options.machine.node + ": " + options.machine.device + ", " +
           std::to_string(options.machine.threads) + " threads; dialling " + arguments.connect);
  fleet::LocalWorkshop workshop(std::move(place));
  VORTEX_ASSIGN(const fleet::PilotEnd end, fleet::run_pilot(options, workshop));
  log_line(end == fleet::PilotEnd::kDismissed ? "the search has no more work" : "left: the machine is wanted back");
  return 0;
}

}  // namespace

void add_worker(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<WorkerArguments>();
  CLI::App* verb = add_verb(app, context, "worker", "works for a search on another machine (docs/scale-out.md)",
                            [&context, arguments] { return work(*arguments, context); });
  verb->add_option("--connect", arguments->connect, "HOST:PORT that the search listens at")->required();
  verb->add_option("--token-file", arguments->token_file,
                   "file with the search's token, which its owner alone may read; -: standard input")
      ->required();
  verb->add_option("--folder", arguments->folder,
                   "for models and prompts, shared by the workers of a machine (vortex-UID among the temporary files)");
  verb->add_option("--name", arguments->name, "in what the search shows (the node and the process)");
  verb->add_option("--threads", arguments->threads, "that a task may use; 0: as many as this process has cores")
      ->check(CLI::Range(0, 1024));
  verb->add_option("--patience", arguments->patience, "how long to look for the search before giving up");
  add_worker_option(verb, context);
}

}  // namespace vortex::cli
