// vortex-keeper: stands between vortex and every program that it starts, and is the launcher inside the jail. Started
// by vortex alone; see sandbox/process_tree.h.

#include <cstdio>
#include <string_view>

#include "sandbox/keeper/process.h"

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "keep" || mode == "enter") {
    auto options = vortex::sandbox::KeeperOptions::read(argc - 2, argv + 2);
    if (!options.program_words().empty()) {
      return mode == "keep" ? vortex::sandbox::keep(options) : vortex::sandbox::enter(options);
    }
  }
  std::fprintf(stderr, "vortex-keeper is started by vortex; there is nothing to do with it by hand\n");
  return 1;
}
