#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sandbox/process_tree.h"

namespace vortex::sandbox {

struct RunOptions {
  double deadline_seconds = 60;           // on the steady clock
  size_t output_bytes = size_t{4} << 20;  // more is a failure
  size_t log_bytes = 600;                 // kept of the end of its standard error
};

// What a program that was run to its end gave.
struct Outcome {
  std::string output;
  std::string log;      // the end of its standard error
  std::string failure;  // empty: it ended with exit code 0. Reads on: "the command " + failure
  bool stopped = false;
  std::vector<LayerReport> layers;  // of a launch into the jail
};

// A command line of the user's own, for /bin/sh: with our whole environment and `variables` (NAME=value) beside, in our
// folder, without limits.
Launch shell_launch(const std::string& command, const std::vector<std::string>& variables = {});

// Runs a program with `input` on its standard input, until its whole process tree has ended, and collects what it says.
// `should_stop` is polled ten times a second. An Error: nothing could be started.
Result<Outcome> run_program(const Launch& launch, std::string_view input, const RunOptions& options,
                            const std::function<bool()>& should_stop);

}  // namespace vortex::sandbox
