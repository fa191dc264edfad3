#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/output.h"
#include "db/store.h"
#include "sandbox/executor.h"

namespace vortex::cli {

// Options that verbs share, and what the chosen verb does.
struct Context {
  std::string workspace = ".vortex";
  std::string format_text = "text";
  std::string worker;                          // empty: vortex-worker beside this program
  std::string require_sandbox;                 // full, none, or names of layers
  std::string sandbox_without;                 // likewise: layers to do without
  std::map<std::string, std::string> origins;  // option -> the file or variable that gave it (cli/arguments.h)
  std::function<Result<int>()> action;         // set by the verb that was parsed; gives the exit code

  Format format() const { return format_of(format_text); }
};

// A verb: its name, its help line, and what parsing it makes the program do. `setup` adds its options.
CLI::App* add_verb(CLI::App& app, Context& context, const std::string& name, const std::string& help,
                   std::function<Result<int>()> action);
// Options that are added from here on stand under this heading of `--help`.
void begin_group(CLI::App* verb, const std::string& heading);
void add_workspace_option(CLI::App* verb, Context& context);
// `csv`: the verb prints tables as comma-separated values, too.
void add_format_option(CLI::App* verb, Context& context, bool csv = false);
void add_worker_option(CLI::App* verb, Context& context);
// `device` is Job::device, and its present value the default.
void add_device_option(CLI::App* verb, std::string& device);
// Likewise Job::cpu_math.
void add_cpu_math_option(CLI::App* verb, std::string& math);
// Likewise Job::tensor_parallel.
void add_ranks_option(CLI::App* verb, int& ranks);

// "90s", "5m", "8h", "1h30m"; plain numbers are seconds.
Result<double> parse_duration(const std::string& text);
// "45s", "4m10s", "7h02m".
std::string duration_text(double seconds);

// "2026-07-26 07:55", in local time.
std::string date_text(double seconds_since_epoch);

// A command of this program as the user can paste it: with the path that leads to it from here, unless the shell finds
// it by its name, and with the workspace, unless that is the default.
std::string command_line(const Context& context, const std::string& arguments);

// Where what ships with the program may lie: here, in the tree that it was built in, or where it was installed.
std::vector<std::filesystem::path> shipped_roots();

// How workers are to be held, from the options.
Result<sandbox::JailOptions> jail_options(const Context& context);
// The worker program: the option, or the one beside this program. Missing: the environment's fault.
Result<std::string> find_worker(const Context& context);
// Executor options for a job of this workspace; stage_seconds 0: every stage's deadline follows from what it should
// cost. Refuses (environment) where the sandbox would hold with less than is required.
Result<sandbox::ExecutorOptions> executor_options(const Context& context, double stage_seconds, int64_t memory_bytes);

}  // namespace vortex::cli
