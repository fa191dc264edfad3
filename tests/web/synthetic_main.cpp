// Writes a made-up run: synthetic_run WORKSPACE CANDIDATES SOURCE_DIR [NAME [SECONDS_EACH [TEXT]]]. With seconds a
// candidate, it behaves like a running search. TEXT is put into everything that a proposer can write.
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "tests/web/synthetic_run.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 3) {
    std::cerr << "usage: synthetic_run WORKSPACE CANDIDATES SOURCE_DIR [NAME [SECONDS_EACH [TEXT]]]\n";
    return 1;
  }
  vortex::web::SyntheticOptions options;
  options.candidates = std::atoi(arguments[1].c_str());
  options.model_path = arguments[2] + "/models/chain-4m";
  options.policies = arguments[2] + "/examples/policies";
  if (arguments.size() > 3) { options.name = arguments[3]; }
  if (arguments.size() > 4) { options.seconds_each = std::atof(arguments[4].c_str()); }
  if (arguments.size() > 5) { options.hostile = arguments[5]; }
  const vortex::Status status = vortex::web::write_synthetic_run(arguments[0], options);
  if (status.ok()) { return 0; }
  std::cerr << "error: " << status.error().message << "\n";
  return 1;
}
