#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace vortex::web {

// A run made up from a seed: what a search of that size would have stored, with a front that moves, failures of every
// kind, lineage, a notebook. For tests of scale and of display; its numbers mean nothing.
struct SyntheticOptions {
  std::string name = "made-up";
  int candidates = 200;
  int problems = 16;
  uint64_t seed = 1;
  std::string hostile;  // put into every text that a proposer or a model can write
  bool finished = true;
  double seconds_each = 0;  // pause after each candidate, for readers that watch
  std::string model_path;   // of the search
  std::string policies;     // folder of modules with their configurations
};

Status write_synthetic_run(const std::filesystem::path& workspace, const SyntheticOptions& options);

}  // namespace vortex::web
