#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <thread>

#include "base/files.h"
#include "base/gpu.h"
#include "base/text.h"
#include "cli/verbs/verbs.h"
#include "sandbox/jail.h"
#include "sandbox/run_program.h"

namespace vortex::cli {
namespace {

constexpr int kCapability = 90;  // that the CUDA kernels are built for

// What one look at the machine found. Only a failure keeps a search from running.
struct Finding {
  std::string what;
  std::string verdict;  // ok, warn or FAIL
  std::string detail;
  std::string remedy;  // empty when it is ok
};

Finding worker_finding(const Context& context) {
  const Result<std::string> worker = find_worker(context);
  if (!worker.ok()) { return {"worker", "FAIL", worker.error().message, worker.error().hint}; }
  std::error_code ec;
  sandbox::Launch launch;
  launch.argv = {std::filesystem::absolute(*worker, ec).string(), "--version"};
  launch.environment = {"PATH=/usr/bin:/bin", "OMP_NUM_THREADS=1"};
  launch.folder = "/";
  const auto outcome = sandbox::run_program(launch, {}, {}, {});
  const std::string why = !outcome.ok() ? outcome.error().message : outcome->failure + " " + outcome->log;
  if (outcome.ok() && outcome->failure.empty()) { return {"worker", "ok", split_lines(outcome->output).front(), ""}; }
  return {"worker", "FAIL", *worker + " does not start: " + why, "build it again: scripts/build.sh"};
}

std::string remedy_of(sandbox::Layer layer) {
  switch (layer) {
    case sandbox::Layer::kNamespaces:
      return "install bubblewrap, and allow user namespaces (docs/security.md)";
    case sandbox::Layer::kUser:
      return "let everybody read the model and the program; it takes namespaces, too";
    case sandbox::Layer::kLandlock:
      return "Linux 5.13 or later, with landlock among its security modules";
    case sandbox::Layer::kCgroups:
      return "delegate memory and pids to this user (docs/security.md)";
    case sandbox::Layer::kSeccomp:
    case sandbox::Layer::kLimits:
      break;
  }
  return "see docs/security.md";
}

// A worker is held by every layer that is there; less is a warning, unless --require-sandbox asks for more.
Finding layer_finding(const sandbox::LayerReport& report, const sandbox::JailOptions& options) {
  const bool active = report.state == sandbox::LayerState::kActive;
  const bool required =
      std::find(options.required.begin(), options.required.end(), report.layer) != options.required.end();
  std::string found(layer_state_name(report.state));
  if (!report.detail.empty()) { found += ": " + report.detail; }
  return {"sandbox " + std::string(layer_name(report.layer)),
          active     ? "ok"
          : required ? "FAIL"
                     : "warn",
          found, active || report.state == sandbox::LayerState::kOff ? "" : remedy_of(report.layer)};
}

Finding disk_finding(const std::string& workspace) {
  std::error_code ec;
  std::filesystem::path folder = std::filesystem::absolute(workspace, ec);
  while (!std::filesystem::exists(folder, ec) && folder.has_parent_path() && folder != folder.parent_path()) {
    folder = folder.parent_path();
  }
  struct statvfs disk = {};
  if (::statvfs(folder.c_str(), &disk) != 0) { return {"disk", "FAIL", "cannot look at " + folder.string(), ""}; }
  const double gib = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) / (1 << 30);
  const bool enough = gib > 4;
  return {"disk", enough ? "ok" : "warn", fixed(gib, 1) + " GiB free at " + folder.string(),
          enough ? "" : "snapshots of prompts take some GiB: free room or move --workspace"};
}

Finding workspace_finding(const std::string& workspace) {
  const std::filesystem::path probe = std::filesystem::path(workspace) / "doctor.probe";
  const Status written = write_file_atomic(probe, "probe");
  std::error_code ec;
  std::filesystem::remove(probe, ec);
  if (written.ok()) { return {"workspace", "ok", workspace + " can be written", ""}; }
  return {"workspace", "FAIL", written.error().message, "choose another with --workspace"};
}

Finding memory_finding() {
  const double gib =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 30);
  return {"memory", gib > 4 ? "ok" : "warn", fixed(gib, 1) + " GiB", gib > 4 ? "" : "use fewer --problems"};
}

Finding simd_finding() {
  if (__builtin_cpu_supports("avx512f")) { return {"SIMD", "ok", "AVX-512", ""}; }
  if (__builtin_cpu_supports("avx2")) { return {"SIMD", "ok", "AVX2", ""}; }
  return {"SIMD", "warn", "neither AVX2 nor AVX-512", "everything works, slowly"};
}

Finding gpu_finding(const Gpu& gpu) {
  const std::string what = "GPU " + std::to_string(gpu.index);
  if (gpu.capability != kCapability) {
    return {what, "warn", describe(gpu), "the kernels are built for compute capability 9.0: searches run on the CPU"};
  }
  const std::vector<std::string> doubtful = doubts(gpu, ::getpid());
  if (doubtful.empty()) { return {what, "ok", describe(gpu), ""}; }
  return {what, "warn", describe(gpu) + "; " + join(doubtful, "; "), "speeds measured now are doubtful: wait or ask"};
}

std::vector<Finding> gpu_findings() {
  const Result<std::vector<Gpu>> gpus = look_at_gpus();
  if (!gpus.ok() || gpus->empty()) {
    return {{"GPU", "warn", gpus.ok() ? "the driver shows no GPU" : gpus.error().message, "searches run on the CPU"}};
  }
  std::vector<Finding> findings;
  for (const Gpu& gpu : *gpus) { findings.push_back(gpu_finding(gpu)); }
  return findings;
}

Result<int> doctor(const Context& context) {
  VORTEX_ASSIGN(const sandbox::JailOptions jail, jail_options(context));
  std::vector<Finding> findings = {
      worker_finding(context),
      workspace_finding(context.workspace),
      disk_finding(context.workspace),
      {"cores", "ok", std::to_string(std::thread::hardware_concurrency()), ""},
      memory_finding(),
      simd_finding(),
  };
  for (Finding& finding : gpu_findings()) { findings.push_back(std::move(finding)); }
  for (const sandbox::LayerReport& report : sandbox::jail_support(jail).layers) {
    findings.push_back(layer_finding(report, jail));
  }
  bool failed = false;
  Table table({"", "what", "found", "remedy"});
  table.tint("");
  table.wrap("found");
  std::vector<nlohmann::json> items;
  for (const Finding& finding : findings) {
    failed = failed || finding.verdict == "FAIL";
    table.add({finding.verdict, finding.what, finding.detail, finding.remedy});
    items.push_back(
        {{"what", finding.what}, {"verdict", finding.verdict}, {"detail", finding.detail}, {"remedy", finding.remedy}});
  }
  if (context.format() == Format::kText) {
    print_table(table);
  } else {
    print_records(context.format(), "finding", items);
  }
  return failed ? exit_code(Blame::kEnvironment) : 0;
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  CLI::App* verb = add_verb(app, context, "doctor", "looks whether this machine can run a search, and what to mend",
                            [&context] { return doctor(context); });
  add_workspace_option(verb, context);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
