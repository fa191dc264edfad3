#include "evals/ladder/oracle.h"

#include <dlfcn.h>

#include <filesystem>

namespace vortex::evals {
namespace {

struct Oracle {
  OracleEntry ask = nullptr;
};

constexpr const char* kFile = "vortex-oracle.so";

Error loading_failed() {
  const char* reason = ::dlerror();
  return environment_error(std::string("cannot load the oracle: ") + (reason != nullptr ? reason : "unknown"),
                           std::string(kFile) + " must lie beside the program and come from the same build");
}

// Loaded once and never unloaded: LibTorch keeps threads and exit handlers.
Result<Oracle> load() {
  std::error_code ec;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ec);
  void* library = ::dlopen((program.parent_path() / kFile).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) { return loading_failed(); }
  void* entry = ::dlsym(library, kOracleEntry);
  if (entry == nullptr) { return loading_failed(); }
  return Oracle{reinterpret_cast<OracleEntry>(entry)};
}

const Result<Oracle>& loaded() {
  static const Result<Oracle> oracle = load();
  return oracle;
}

}  // namespace

std::future<void> load_oracle_ahead() {
  return std::async(std::launch::async, [] { (void)loaded(); });
}

Result<OracleAnswer> ask_oracle(const OracleQuestion& question) {
  const Result<Oracle>& oracle = loaded();
  if (!oracle.ok()) { return oracle.error(); }
  Result<OracleAnswer> answer = internal_error("the oracle said nothing");
  oracle->ask(question, answer);
  return answer;
}

}  // namespace vortex::evals
