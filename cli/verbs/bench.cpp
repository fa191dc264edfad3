#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/verbs/verbs.h"

namespace vortex::cli {
namespace {

// Becomes the benchmark program: this one links no CUDA. Comes back only if that failed.
Result<int> become(const std::string& name, std::vector<std::string> arguments) {
  std::error_code ec;
  const std::string path = (std::filesystem::read_symlink("/proc/self/exe", ec).parent_path() / name).string();
  arguments.insert(arguments.begin(), path);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) { pointers.push_back(argument.data()); }
  pointers.push_back(nullptr);
  ::execv(path.c_str(), pointers.data());
  return environment_error("cannot start " + path + ": " + std::strerror(errno), "build it (scripts/build.sh)");
}

Result<int> bench(const std::vector<std::string>& words) {
  if (words.empty()) {
    return candidate_error("which benchmark?",
                           "kernels, step, trace or serve-sim; `vortex bench step --help` for more");
  }
  if (words[0] != "kernels") { return become("vortex-bench", words); }
  return become("vortex-bench-kernels", {words.begin() + 1, words.end()});
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("bench", "measures kernels, decode steps, a trace, a served load");
  verb->prefix_command();   // everything after the verb belongs to the benchmark program
  verb->set_help_flag("");  // --help, too
  verb->callback([&context, verb] { context.action = [verb] { return bench(verb->remaining()); }; });
}

}  // namespace vortex::cli
