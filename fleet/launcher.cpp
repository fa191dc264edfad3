#include "fleet/launcher.h"

#include <poll.h>

#include <algorithm>
#include <filesystem>

#include "base/escape.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/run_program.h"

namespace vortex::fleet {
namespace {

constexpr double kSlurmSeconds = 60;  // that a command of Slurm's may take: a controller that is down takes 9 to 18
constexpr int kWarningSeconds = 120;  // before the end of a job its workers are told
constexpr const char* kEnvironment = "PATH,HOME,LANG,LD_LIBRARY_PATH,SLURM_CONF";  // no key of anybody's goes to a node

Result<sandbox::Outcome> run_slurm(const std::string& command) {
  sandbox::RunOptions options;
  options.deadline_seconds = kSlurmSeconds;
  return sandbox::run_program(sandbox::shell_launch(command), {}, options, {});
}

// "12345" of "12345" or "12345;cluster"; empty: no job id.
std::string job_id(const std::string& output) {
  const std::string line = first_line(output);
  const std::string id = line.substr(0, line.find(';'));
  return id.find_first_not_of("0123456789") == std::string::npos ? id : "";
}

}  // namespace

std::string command_text(const WorkerCommand& command) {
  std::vector<std::string> words = {
      shell_word(command.program),         "worker",       "--connect",
      shell_word(to_text(command.search)), "--token-file", shell_word(command.token_file)};
  for (const std::string& option : command.options) { words.push_back(shell_word(option)); }
  return join(words, " ");
}

std::string srun_prefix(const SlurmWish& wish) {
  std::string prefix = "srun --nodes=1 --ntasks=1 --exact --cpus-per-task=" + std::to_string(wish.cpus_per_worker);
  if (wish.gpus_per_node > 0) { prefix += " --gres=gpu:" + std::to_string(wish.gpus_per_worker); }
  return prefix + " --unbuffered --export=" + kEnvironment;
}

std::string batch_script(const std::string& run, const SlurmWish& wish, const WorkerCommand& command,
                         const std::string& log_folder) {
  std::vector<std::string> lines = {"#!/bin/bash",
                                    "# Workers for the search " + run + ": they dial back to it, and end with it.",
                                    "#SBATCH --job-name=vortex-" + run,
                                    "#SBATCH --array=0-" + std::to_string(wish.nodes - 1),
                                    "#SBATCH --nodes=1",
                                    "#SBATCH --ntasks=" + std::to_string(wish.workers_per_node),
                                    "#SBATCH --cpus-per-task=" + std::to_string(wish.cpus_per_worker),
                                    std::string("#SBATCH --export=") + kEnvironment,
                                    "#SBATCH --requeue",
                                    "#SBATCH --open-mode=append",
                                    "#SBATCH --output=" + log_folder + "/slurm-%A-%a.log",
                                    "#SBATCH --signal=USR1@" + std::to_string(kWarningSeconds)};
  const auto add = [&](const std::string& option) { lines.push_back("#SBATCH " + option); };
  if (wish.gpus_per_node > 0) { add("--gres=gpu:" + std::to_string(wish.gpus_per_node)); }
  if (!wish.memory.empty()) { add("--mem=" + wish.memory); }
  if (!wish.partition.empty()) { add("--partition=" + wish.partition); }
  if (!wish.time.empty()) { add("--time=" + wish.time); }
  for (const std::string& option : wish.extra) { add(option); }
  lines.emplace_back("for place in $(seq " + std::to_string(wish.workers_per_node) + "); do");
  lines.emplace_back("  " + srun_prefix(wish) + " \\");
  lines.emplace_back("    " + command_text(command) + " < /dev/null &");
  lines.emplace_back("done");
  lines.emplace_back("wait");
  return join(lines, "\n") + "\n";
}

Result<std::string> SlurmJobs::submit(const std::string& script) {
  if (const Result<std::string> earlier = read_file(job_file()); earlier.ok()) {
    const std::string id = job_id(*earlier);
    const auto alive = run_slurm("squeue --noheader --jobs=" + id + " --format=%i");
    if (!id.empty() && alive.ok() && alive->failure.empty() && !alive->output.empty()) {
      return "Slurm job " + id + " of the earlier sitting still brings workers";
    }
  }
  const std::string path = folder_ + "/slurm-" + run_ + ".sh";
  VORTEX_TRY(write_file_atomic(path, script));
  VORTEX_ASSIGN(const sandbox::Outcome outcome, run_slurm("sbatch --parsable " + shell_word(path)));
  const std::string id = job_id(outcome.output);
  if (!outcome.failure.empty() || id.empty()) {
    return environment_error(
        "sbatch does not take " + path + ": " + terminal_text(outcome.log + outcome.output) + outcome.failure,
        "try it by hand: sbatch " + path);
  }
  VORTEX_TRY(write_file_atomic(job_file(), id + "\n"));
  return "submitted as Slurm job " + id;
}

std::string SlurmJobs::cancel() {
  const Result<std::string> file = read_file(job_file());
  const std::string id = file.ok() ? job_id(*file) : "";
  if (id.empty()) { return {}; }
  const auto outcome = run_slurm("scancel " + id);
  if (outcome.ok() && outcome->failure.empty()) {
    std::error_code ec;
    std::filesystem::remove(job_file(), ec);
    return {};
  }
  return "Slurm job " + id + " could not be cancelled" + (outcome.ok() ? ": " + terminal_text(outcome->log) : "") +
         "; its workers end by themselves";
}

Status StartedWorkers::start(const std::string& prefix, const WorkerCommand& command, const std::string& log) {
  // The token may not be where the worker will be: it comes on its standard input.
  WorkerCommand told = command;
  told.token_file = "-";
  const std::string text = "exec " + prefix + " " + command_text(told) + " < " + shell_word(command.token_file) +
                           " >> " + shell_word(log) + " 2>&1";
  VORTEX_ASSIGN(auto tree, sandbox::ProcessTree::start(sandbox::shell_launch(text)));
  tree->close_input();
  workers_.push_back(std::move(tree));
  return ok_status();
}

int StartedWorkers::ended() const {
  return static_cast<int>(std::count_if(workers_.begin(), workers_.end(), [](const auto& worker) {
    pollfd watched{worker->exited(), POLLIN, 0};
    return ::poll(&watched, 1, 0) > 0;
  }));
}

}  // namespace vortex::fleet
