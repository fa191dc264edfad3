// What `vortex bench regress` measures: a fixed set of decode steps and traces a kind of device.
#pragma once

#include <string>
#include <vector>

#include "core/engine/bench/bench.h"

namespace vortex::bench {

// A case is what `step` (one shape) or `trace` (no shape) would measure with these options.
struct SpeedCase {
  std::string name;
  Options options;
};

// Cases of one engine, which is made once for all of them.
struct SpeedGroup {
  Options engine;
  std::vector<SpeedCase> cases;
};

// `base` has what the command line says (device, threads, tree, seed). Policies are files below the tree.
std::vector<SpeedGroup> speed_cases(bool on_device, const Options& base);

}  // namespace vortex::bench
