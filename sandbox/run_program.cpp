#include "sandbox/run_program.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/clock.h"
#include "sandbox/streams.h"

extern char** environ;  // NOLINT: unistd.h declares it for GNU sources only

namespace vortex::sandbox {
namespace {

std::string failure_of(const Exit& exit) {
  if (!exit.start_fault.empty()) { return "could not be started: " + exit.start_fault; }
  if (!exit.ended_itself) { return "never ran"; }
  if (WIFSIGNALED(exit.wait_status)) { return "was killed by signal " + std::to_string(WTERMSIG(exit.wait_status)); }
  const int code = WEXITSTATUS(exit.wait_status);
  return code == 0 ? "" : "exited with " + std::to_string(code);
}

}  // namespace

Launch shell_launch(const std::string& command, const std::vector<std::string>& variables) {
  Launch launch;
  launch.argv = {"/bin/sh", "-c", command};
  launch.new_privileges = true;  // mail is sent by set-gid programs
  launch.environment = variables;
  for (char** variable = environ; *variable != nullptr; ++variable) { launch.environment.emplace_back(*variable); }
  std::error_code ec;
  launch.folder = std::filesystem::current_path(ec).string();
  return launch;
}

Result<Outcome> run_program(const Launch& launch, std::string_view input, const RunOptions& options,
                            const std::function<bool()>& should_stop) {
  VORTEX_ASSIGN(const auto tree, ProcessTree::start(launch));
  const double deadline = monotonic_seconds() + options.deadline_seconds;
  Outcome outcome;
  Streams streams(
      *tree, input, [&](std::string_view bytes) { outcome.output += bytes; },
      [&](std::string_view bytes) {
        outcome.log += bytes;
        if (outcome.log.size() > 4 * options.log_bytes) {
          outcome.log.erase(0, outcome.log.size() - options.log_bytes);
        }
      });
  const auto fits = [&] { return outcome.output.size() <= options.output_bytes; };
  while (outcome.failure.empty() && !streams.exchange()) {
    if (!fits()) { outcome.failure = "wrote more than " + std::to_string(options.output_bytes) + " bytes"; }
    if (monotonic_seconds() > deadline) { outcome.failure = "missed its deadline"; }
    if (should_stop && should_stop()) {
      outcome.failure = "was stopped";
      outcome.stopped = true;
    }
  }
  tree->end();
  const auto exit = tree->wait();
  outcome.layers = tree->layers();
  if (outcome.failure.empty()) {
    streams.finish(fits);
    outcome.failure = exit.ok() ? failure_of(*exit) : exit.error().message;
  }
  if (outcome.log.size() > options.log_bytes) { outcome.log.erase(0, outcome.log.size() - options.log_bytes); }
  return outcome;
}

}  // namespace vortex::sandbox
