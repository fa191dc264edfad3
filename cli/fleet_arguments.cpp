#include "cli/fleet_arguments.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/files.h"
#include "base/text.h"
#include "fleet/machine.h"
#include "fleet/token.h"
#include "sandbox/devices.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;

bool uses_slurm(const FleetArguments& arguments) {
  return arguments.launcher == "slurm" || arguments.launcher == "srun";
}

std::string own_program() {
  std::error_code ec;
  return fs::read_symlink("/proc/self/exe", ec).string();
}

std::string folder_for_workers(const Context& context) {
  std::error_code ec;
  return fs::absolute(fs::path(context.workspace) / "workers", ec).lexically_normal().string();
}

// Where workers dial: as asked; else this machine's name where they come from others, and nowhere else otherwise.
Result<fleet::Address> address_of(const FleetArguments& arguments) {
  if (!arguments.listen.empty()) { return fleet::parse_address(arguments.listen); }
  if (!uses_slurm(arguments)) { return fleet::Address{"127.0.0.1", 0}; }
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return fleet::Address{host.data(), 0};
}

fleet::WorkerCommand command_of(const FleetArguments& arguments, const Context& context,
                                const fleet::Address& address) {
  fleet::WorkerCommand command;
  command.program = own_program();
  command.search = address;
  command.token_file = folder_for_workers(context) + "/token";
  std::error_code ec;
  if (!context.worker.empty()) {
    command.options = {"--worker", fs::absolute(context.worker, ec).lexically_normal().string()};
  }
  if (uses_slurm(arguments)) {
    command.options.emplace_back("--threads");
    command.options.push_back(std::to_string(arguments.slurm.cpus_per_worker));
  }
  if (!arguments.worker_folder.empty()) {
    command.options.emplace_back("--folder");
    command.options.push_back(arguments.worker_folder);
  }
  return command;
}

fleet::SlurmWish wish_of(const FleetArguments& arguments) {
  fleet::SlurmWish wish = arguments.slurm;
  wish.extra = arguments.options;
  if (wish.workers_per_node == 0) { wish.workers_per_node = std::max(1, wish.gpus_per_node / wish.gpus_per_worker); }
  return wish;
}

}  // namespace

int FleetArguments::places() const {
  if (launcher == "prefix") { return static_cast<int>(prefixes.size()); }
  if (!uses_slurm(*this)) { return 0; }
  const fleet::SlurmWish wish = wish_of(*this);
  return wish.nodes * wish.workers_per_node;
}

void add_fleet_options(CLI::App* verb, FleetArguments& arguments) {
  fleet::SlurmWish& slurm = arguments.slurm;
  slurm.workers_per_node = 0;
  begin_group(verb, "Workers on other machines (docs/scale-out.md)");
  verb->add_option("--launcher", arguments.launcher,
                   "who starts workers: local (this machine), hand (you: `vortex worker`), slurm (a batch job), srun "
                   "(inside an allocation) or prefix (what --launch says)")
      ->check(CLI::IsMember({"local", "hand", "slurm", "srun", "prefix"}));
  verb->add_option("--nodes", slurm.nodes, "launchers slurm and srun: nodes")->check(CLI::Range(1, 4096));
  verb->add_option("--gpus-per-node", slurm.gpus_per_node,
                   "likewise: GPUs of a node, one for each worker, or as many as --tensor-parallel says")
      ->check(CLI::Range(0, 64));
  verb->add_option("--workers-per-node", slurm.workers_per_node, "likewise; 0: one a GPU, or one")
      ->check(CLI::Range(0, 256));
  verb->add_option("--cpus-per-worker", slurm.cpus_per_worker, "likewise: cores of a worker")
      ->check(CLI::Range(1, 1024));
  verb->add_option("--memory-per-node", slurm.memory, "launcher slurm: as sbatch --mem has it, 64G");
  verb->add_option("--partition", slurm.partition, "launcher slurm: the partition");
  verb->add_option("--time-limit", slurm.time, "launcher slurm: of a job, as sbatch --time has it");
  verb->add_option("--sbatch", arguments.options, "launcher slurm: a further option of sbatch, any number of times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  verb->add_option("--launch", arguments.prefixes,
                   "launcher prefix: what starts one worker, as in \"ssh node7\"; any number of times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  verb->add_option("--listen", arguments.listen,
                   "HOST:PORT where workers dial in (slurm, srun: this machine's name; else 127.0.0.1)");
  verb->add_option("--worker-folder", arguments.worker_folder,
                   "of a worker's machine, for models and prompts (vortex-UID among its temporary files)");
  verb->add_option("--silence", arguments.silence_seconds, "seconds until a worker that says nothing is given up")
      ->check(CLI::Range(2.0, 3600.0));
  verb->add_flag("--one-card", arguments.one_card, "take only workers with the first one's card or processor");
}

void fit_to_fleet(const FleetArguments& arguments, const std::function<bool(const char*)>& has,
                  study::SearchOptions& options) {
  if (!arguments.elsewhere()) { return; }
  if (arguments.places() > 0 && !has("workers")) { options.workers = arguments.places(); }
  if (!has("batch")) { options.batch = std::max(options.batch, options.workers); }
  if (arguments.slurm.gpus_per_node > 0 && !has("gpus")) { options.gpus = arguments.slurm.gpus_per_worker; }
}

Status check_fleet(const FleetArguments& arguments) {
  if (!uses_slurm(arguments)) { return ok_status(); }
  const fleet::SlurmWish wish = wish_of(arguments);
  return sandbox::check_groups(static_cast<size_t>(wish.gpus_per_node), wish.gpus_per_worker, wish.workers_per_node);
}

std::string shown_script(const FleetArguments& arguments, const Context& context) {
  if (arguments.launcher != "slurm") { return {}; }
  const Result<fleet::Address> address = address_of(arguments);
  const fleet::Address shown = address.ok() ? *address : fleet::Address{};
  return fleet::batch_script("NAME", wish_of(arguments), command_of(arguments, context, shown),
                             folder_for_workers(context));
}

RemoteWorkers::RemoteWorkers(FleetArguments arguments, const Context& context, std::string run, Hooks hooks)
    : arguments_(std::move(arguments)),
      context_(context),
      run_(std::move(run)),
      folder_(folder_for_workers(context)),
      hooks_(std::move(hooks)),
      jobs_(run_, folder_) {}

RemoteWorkers::~RemoteWorkers() {
  if (fleet_ != nullptr) { fleet_->close(); }
  if (arguments_.launcher != "slurm") { return; }
  if (const std::string said = jobs_.cancel(); !said.empty()) { hooks_.on_message(said); }
}

Status RemoteWorkers::listen(const study::SearchOptions& options, std::vector<job::TaskSpec> ahead) {
  fleet::FleetOptions wanted;
  VORTEX_ASSIGN(wanted.listen, address_of(arguments_));
  VORTEX_ASSIGN(wanted.token, fleet::token_in(folder_ + "/token"));
  VORTEX_ASSIGN(const std::string worker, find_worker(context_));
  std::error_code ec;
  VORTEX_ASSIGN(wanted.build, fleet::build_of(fs::absolute(worker, ec).string()));
  wanted.run = run_;
  wanted.roster = fleet::roster_path(context_.workspace);
  wanted.own_threads = arguments_.own_threads;
  wanted.one_card = arguments_.one_card;
  wanted.silence_seconds = arguments_.silence_seconds;
  wanted.on_event = hooks_.on_event;
  fleet::Setup& setup = wanted.setup;
  VORTEX_ASSIGN(setup.model, fleet::manifest_of(options.job.model_path, folder_ + "/model.json"));
  setup.job = options.job;
  setup.job.dense = true;
  setup.ahead = std::move(ahead);
  setup.keep = arguments_.keep;
  setup.stage_seconds = options.stage_seconds;
  setup.memory_bytes = options.memory_bytes;
  setup.require_sandbox = context_.require_sandbox;
  setup.sandbox_without = context_.sandbox_without;
  // A later sitting listens where workers of this one will look for it.
  const std::string place = folder_ + "/port-" + run_;
  const Result<std::string> before = read_file(place);
  if (wanted.listen.port == 0 && before.ok()) { wanted.listen.port = std::atoi(before->c_str()); }
  Result<std::unique_ptr<fleet::Fleet>> fleet = fleet::Fleet::open(wanted);
  if (!fleet.ok() && arguments_.listen.empty()) {
    wanted.listen.port = 0;
    fleet = fleet::Fleet::open(wanted);
  }
  if (!fleet.ok()) { return fleet.error(); }
  fleet_ = std::move(fleet).value();
  return write_file_atomic(place, std::to_string(fleet_->address().port) + "\n");
}

Status RemoteWorkers::bring_workers() {
  const fleet::WorkerCommand command = command_of(arguments_, context_, fleet_->address());
  if (arguments_.launcher == "hand") {
    hooks_.on_message("waiting for workers; on their machines: " + fleet::command_text(command));
    return ok_status();
  }
  if (arguments_.launcher == "slurm") {
    VORTEX_ASSIGN(const std::string said,
                  jobs_.submit(fleet::batch_script(run_, wish_of(arguments_), command, folder_)));
    hooks_.on_message(said + ": " + std::to_string(arguments_.places()) + " workers asked for, at " +
                      fleet::to_text(fleet_->address()));
    return ok_status();
  }
  std::vector<std::string> prefixes = arguments_.prefixes;
  if (arguments_.launcher == "srun") {
    prefixes.assign(static_cast<size_t>(arguments_.places()), fleet::srun_prefix(wish_of(arguments_)));
  }
  for (size_t i = 0; i < prefixes.size(); ++i) {
    VORTEX_TRY(started_.start(prefixes[i], command, folder_ + "/started-" + std::to_string(i) + ".log"));
  }
  hooks_.on_message("started " + std::to_string(prefixes.size()) + " workers; what they say is in " + folder_);
  return ok_status();
}

Status RemoteWorkers::wait_for_first(const std::function<bool()>& should_stop) {
  const auto all_ended = [&] { return started_.count() > 0 && started_.ended() == started_.count(); };
  if (fleet_->wait_for_first([&] { return should_stop() || all_ended(); })) { return ok_status(); }
  if (!all_ended()) {
    return environment_error("stopped before a worker came",
                             "vortex search --resume " + run_ + " with the same --launcher waits on");
  }
  return environment_error("every worker that was started has ended", "what they said is in " + folder_);
}

Result<std::unique_ptr<RemoteWorkers>> RemoteWorkers::start(const FleetArguments& arguments, const Context& context,
                                                            const study::SearchOptions& options, const std::string& run,
                                                            std::vector<job::TaskSpec> ahead, Hooks hooks) {
  if (arguments.launcher == "prefix" && arguments.prefixes.empty()) {
    return candidate_error("--launcher prefix starts nothing without --launch", "as in --launch \"ssh node7\"");
  }
  std::unique_ptr<RemoteWorkers> workers(new RemoteWorkers(arguments, context, run, std::move(hooks)));
  VORTEX_TRY(workers->listen(options, std::move(ahead)));
  VORTEX_TRY(workers->bring_workers());
  return workers;
}

}  // namespace vortex::cli
