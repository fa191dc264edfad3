#include "core/compile/cuda/kernel_switches.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/files.h"

namespace vortex::compile {

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Runs nvdisasm on a cubin, its output into `sass`. Does nothing where there is no such program.
void disassemble(const std::filesystem::path& cubin, const std::filesystem::path& sass) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, sass.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::string program = "nvdisasm";
  std::string file = cubin;
  char* const arguments[] = {program.data(), file.data(), nullptr};
  pid_t child = 0;
  const bool started = ::posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ) == 0;
  ::posix_spawn_file_actions_destroy(&actions);
  int status = -1;
  while (started && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (status != 0) {
    std::error_code ignored;
    std::filesystem::remove(sass, ignored);
  }
}

}  // namespace

KernelSwitches kernel_switches() {
  const std::string refuse = variable("VORTEX_REFUSE_SPILLS");
  return {variable("VORTEX_DUMP_KERNELS"), !refuse.empty() && refuse != "0"};
}

Status dump_kernels(const KernelSwitches& switches, const std::string& hash, const std::string& source,
                    const CompiledSource& compiled) {
  if (switches.dump_folder.empty()) { return ok_status(); }
  const std::string resources = resources_text(compiled.resources);
  const std::pair<const char*, const std::string&> files[] = {
      {".cu", source}, {".ptx", compiled.ptx}, {".cubin", compiled.cubin}, {".resources", resources}};
  for (const auto& [suffix, text] : files) {
    VORTEX_TRY(write_file_atomic(switches.dump_folder / (hash + suffix), text));
  }
  disassemble(switches.dump_folder / (hash + ".cubin"), switches.dump_folder / (hash + ".sass"));
  return ok_status();
}

Status refuse_spills(const std::vector<KernelResources>& kernels) {
  std::string spills;
  for (const KernelResources& kernel : kernels) {
    if (kernel.spill_bytes() > 0) {
      spills += (spills.empty() ? "" : ", ") + kernel.name + " " + std::to_string(kernel.spill_stores) +
                " bytes stored and " + std::to_string(kernel.spill_loads) + " loaded a thread";
    }
  }
  if (spills.empty()) { return ok_status(); }
  return internal_error("generated kernels spill registers: " + spills,
                        "unset VORTEX_REFUSE_SPILLS to run them anyway");
}

}  // namespace vortex::compile
