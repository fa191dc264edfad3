#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"

namespace vortex::agent {

// A policy to start from.
struct Seed {
  std::string name;
  vflow::PolicySource source;
};

// The policies of examples/policies, compiled in; for models with latent attention those of examples/policies/mla.
const std::vector<Seed>& builtin_seeds(bool latent = false);

// The plainest of them, one mean a page, which measurements start from.
Result<Seed> plain_seed(bool latent);

// Every NAME.py of a folder with its NAME.json, by name. A module without a configuration is refused.
Result<std::vector<Seed>> load_seeds(const std::filesystem::path& folder);

}  // namespace vortex::agent
