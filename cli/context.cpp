#include "cli/context.h"

#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <sstream>

#include "base/text.h"
#include "cli/arguments.h"

namespace vortex::cli {

CLI::App* add_verb(CLI::App& app, Context& context, const std::string& name, const std::string& help,
                   std::function<Result<int>()> action) {
  CLI::App* verb = app.add_subcommand(name, help);
  verb->get_help_ptr()->description("says this")->group(kEverywhere);
  verb->callback([&context, action = std::move(action)] { context.action = action; });
  return verb;
}

void begin_group(CLI::App* verb, const std::string& heading) { verb->option_defaults()->group(heading); }

void add_workspace_option(CLI::App* verb, Context& context) {
  begin_group(verb, kEverywhere);
  verb->add_option("--workspace", context.workspace, "folder with everything that is kept");
}

void add_format_option(CLI::App* verb, Context& context, bool csv) {
  begin_group(verb, kEverywhere);
  std::vector<std::string> formats = {"text", "json", "jsonl"};
  if (csv) { formats.push_back("csv"); }
  verb->add_option("--format", context.format_text, "of what goes to standard output")->check(CLI::IsMember(formats));
}

void add_worker_option(CLI::App* verb, Context& context) {
  begin_group(verb, kEverywhere);
  verb->add_option("--worker", context.worker, "the vortex-worker program (beside vortex)");
  verb->add_option("--require-sandbox", context.require_sandbox,
                   "refuse to run with less: full, or layers that `vortex doctor` names, with commas");
  verb->add_option("--sandbox-without", context.sandbox_without, "layers of the sandbox to do without, with commas");
}

void add_device_option(CLI::App* verb, std::string& device) {
  verb->add_option("--device", device, "where the engine runs: cuda, cpu, or auto: cuda where there is a GPU for it")
      ->check(CLI::IsMember({"auto", "cuda", "cpu"}));
}

void add_cpu_math_option(CLI::App* verb, std::string& math) {
  verb->add_option("--cpu-math", math, "products on the CPU: float32, or bf16 on the processor's bfloat16 units")
      ->check(CLI::IsMember({"float32", "bf16"}));
}

void add_ranks_option(CLI::App* verb, int& ranks) {
  verb->add_option("--tensor-parallel", ranks, "spread the model over so many GPUs, or threads of the CPU")
      ->check(CLI::Range(1, 8));
}

Result<double> parse_duration(const std::string& text) {
  constexpr double kLongest = 3650.0 * 86400;
  const Error error = candidate_error("not a duration: " + text, "write 90s, 5m, 8h or 1h30m");
  double total = 0;
  size_t at = 0;
  while (at < text.size()) {
    char* end = nullptr;
    const double number = std::strtod(text.c_str() + at, &end);
    const auto stop = static_cast<size_t>(end - text.c_str());
    if (stop == at || !std::isfinite(number) || number < 0) { return error; }
    double unit = 1;
    at = stop;
    if (at < text.size()) {
      const size_t which = std::string("smhd").find(text[at++]);
      if (which == std::string::npos) { return error; }
      unit = std::array{1.0, 60.0, 3600.0, 86400.0}[which];
    }
    total += number * unit;
  }
  if (text.empty() || total <= 0) { return error; }
  if (total > kLongest) { return candidate_error("longer than ten years: " + text, error.hint); }
  return total;
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::max(0.0, std::round(seconds)));
  char text[48];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%llds", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lldm%02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
  }
  return text;
}

std::string date_text(double seconds_since_epoch) {
  const auto time = static_cast<std::time_t>(seconds_since_epoch);
  std::tm local = {};
  char text[32] = "";
  if (::localtime_r(&time, &local) != nullptr) { std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local); }
  return text;
}

std::string command_line(const Context& context, const std::string& arguments) {
  namespace fs = std::filesystem;
  std::error_code ec;
  const fs::path self = fs::read_symlink("/proc/self/exe", ec);
  std::string program = "vortex";
  const char* variable = std::getenv("PATH");
  std::istringstream folders(variable != nullptr ? variable : "");
  fs::path found;
  for (std::string folder; found.empty() && std::getline(folders, folder, ':');) {
    if (fs::exists(fs::path(folder) / program, ec)) { found = fs::path(folder) / program; }
  }
  if (!self.empty() && (found.empty() || !fs::equivalent(found, self, ec))) {
    const fs::path near = fs::proximate(self, ec);
    program = !ec && near.string().size() < self.string().size() ? near.string() : self.string();
  }
  return program + " " + arguments + (context.workspace == ".vortex" ? "" : " --workspace " + context.workspace);
}

std::vector<std::filesystem::path> shipped_roots() {
  std::error_code ec;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
  return {".", program / "../../..", program / "../share/vortex"};
}

Result<std::string> find_worker(const Context& context) {
  std::string path = context.worker;
  if (path.empty()) {
    std::error_code ec;
    path = (std::filesystem::read_symlink("/proc/self/exe", ec).parent_path() / "vortex-worker").string();
  }
  if (::access(path.c_str(), X_OK) != 0) {
    return environment_error("the worker program is not at " + path,
                             "build it (scripts/build.sh) or name it with --worker");
  }
  return path;
}

Result<sandbox::JailOptions> jail_options(const Context& context) {
  sandbox::JailOptions options;
  VORTEX_ASSIGN(options.required, sandbox::layers_from_text(context.require_sandbox, "--require-sandbox"));
  VORTEX_ASSIGN(options.off, sandbox::layers_from_text(context.sandbox_without, "--sandbox-without"));
  return options;
}

Result<sandbox::ExecutorOptions> executor_options(const Context& context, double stage_seconds, int64_t memory_bytes) {
  sandbox::ExecutorOptions options;
  VORTEX_ASSIGN(options.worker_path, find_worker(context));
  options.scratch_root = (std::filesystem::path(context.workspace) / "scratch").string();
  options.memory_bytes = memory_bytes;
  VORTEX_ASSIGN(options.jail, jail_options(context));
  if (!options.jail.required.empty()) {
    VORTEX_TRY(check_required(sandbox::jail_support(options.jail).layers, options.jail));
  }
  if (stage_seconds <= 0) { return options; }
  for (const job::StageInfo& info : job::kLadder) {
    if (info.in_worker) { options.deadlines[info.stage] = stage_seconds; }
  }
  return options;
}

}  // namespace vortex::cli
