#include <string>
#include <vector>

#include "cli/become.h"
#include "cli/verbs/verbs.h"

namespace vortex::cli {
namespace {

// The benchmarks are programs of their own: this one links no CUDA.
Result<int> bench(const std::vector<std::string>& words) {
  if (words.empty()) {
    return candidate_error("which benchmark?",
                           "kernels, step, trace, regress, serve-sim or load; `vortex bench step --help` for more");
  }
  const bool apart = words[0] == "kernels" || words[0] == "load";
  if (!apart) { return become("vortex-bench", words); }
  return become("vortex-bench-" + words[0], {words.begin() + 1, words.end()});
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("bench", "measures kernels, steps, traces, served loads; what lost speed");
  verb->prefix_command();   // everything after the verb belongs to the benchmark program
  verb->set_help_flag("");  // --help, too
  verb->callback([&context, verb] { context.action = [verb] { return bench(verb->remaining()); }; });
}

}  // namespace vortex::cli
