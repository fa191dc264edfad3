#include "fleet/machine.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/gpu.h"
#include "base/text.h"
#include "sandbox/devices.h"
#include "sandbox/run_program.h"

namespace vortex::fleet {
namespace {

constexpr int kMostThreads = 1024;

std::string node_name() {
  // Slurm's name for it, which on a machine that plays several nodes is not the host's.
  for (const char* variable : {"SLURMD_NODENAME", "VORTEX_NODE"}) {
    const char* name = std::getenv(variable);
    if (name != nullptr && *name != '\0') { return name; }
  }
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return host.data();
}

// Of the first processor in /proc/cpuinfo.
std::string processor_fact(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) { return line.substr(colon + 2); }
  }
  return {};
}

std::string bfloat16_units() {
  std::istringstream flags(processor_fact("flags"));
  std::string units;
  for (std::string flag; flags >> flag;) {
    if (flag == "avx512_bf16" || flag == "amx_bf16") { units += (units.empty() ? "" : " ") + flag; }
  }
  return units;
}

// What NVML knows of the GPU with this UUID; as good as nothing where it does not tell.
void ask_driver(Machine& machine) {
  const Result<std::vector<Gpu>> gpus = look_at_gpus();
  if (!gpus.ok()) { return; }
  for (const Gpu& gpu : *gpus) {
    if (gpu.uuid != machine.uuid && gpus->size() > 1) { continue; }
    machine.uuid = gpu.uuid;
    machine.driver = gpu.driver;
    machine.memory_bytes = gpu.memory_bytes;
    if (machine.device.empty()) { machine.device = gpu.name; }
    return;
  }
}

}  // namespace

Machine look_at_machine(int threads) {
  Machine machine;
  machine.node = node_name();
  machine.units = bfloat16_units();
  machine.memory_bytes =
      static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
  const std::vector<sandbox::Gpu> gpus = sandbox::find_gpus("/", std::getenv("CUDA_VISIBLE_DEVICES"));
  const std::vector<int> own = sandbox::own_cores();
  const sandbox::Share share = sandbox::share_out(gpus, own, 1).front();
  const size_t cores = std::max<size_t>(1, share.cores.empty() ? own.size() : share.cores.size());
  machine.threads = std::min(kMostThreads, static_cast<int>(cores));
  if (threads > 0) { machine.threads = std::min(machine.threads, threads); }
  if (gpus.empty()) {
    machine.device = processor_fact("model name");
    if (machine.device.empty()) { machine.device = "cpu"; }
    return machine;
  }
  machine.gpu = true;
  machine.device = gpus.front().name;
  machine.uuid = gpus.front().visible_as;
  ask_driver(machine);
  return machine;
}

Result<std::string> build_of(const std::string& worker_path) {
  sandbox::Launch launch;
  launch.argv = {worker_path, "--version"};
  launch.environment = {"PATH=/usr/bin:/bin"};
  launch.folder = "/";
  VORTEX_ASSIGN(const sandbox::Outcome outcome, sandbox::run_program(launch, {}, {}, {}));
  std::istringstream words(outcome.output);
  for (std::string word; words >> word;) {
    if (word == "build" && words >> word) { return word; }
  }
  return environment_error(
      worker_path + " does not say which build it is" + (outcome.failure.empty() ? "" : ": it " + outcome.failure),
      "try " + worker_path + " --version");
}

}  // namespace vortex::fleet
