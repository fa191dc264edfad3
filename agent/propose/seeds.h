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

// The same policies, those that choose more than the model's token budget allows with as many pages as it leaves them
// (their text is printed anew). What cannot be brought within it stays as it is, for the check to refuse.
std::vector<Seed> within_token_budget(std::vector<Seed> seeds, const vflow::ModelGeometry& model);

// Every NAME.py of a folder with its NAME.json, by name. A module without a configuration is refused.
Result<std::vector<Seed>> load_seeds(const std::filesystem::path& folder);

}  // namespace vortex::agent
