#include "agent/propose/seeds.h"

#include <algorithm>
#include <system_error>

#include "base/files.h"
#include "core/vflow/vary/mutate.h"

namespace vortex::agent {

Result<Seed> plain_seed(bool latent) {
  const std::string name = latent ? "rope_aware" : "block_topk";
  const std::vector<Seed>& seeds = builtin_seeds(latent);
  const auto found = std::find_if(seeds.begin(), seeds.end(), [&](const Seed& seed) { return seed.name == name; });
  if (found == seeds.end()) { return internal_error("no built-in policy is called " + name); }
  return *found;
}

std::vector<Seed> within_token_budget(std::vector<Seed> seeds, const vflow::ModelGeometry& model) {
  if (model.token_budget == 0) { return seeds; }
  vflow::ModelGeometry unlimited = model;
  unlimited.token_budget = 0;
  for (Seed& seed : seeds) {
    if (vflow::check_policy(seed.source, model).policy) { continue; }
    const vflow::CheckReport report = vflow::check_policy(seed.source, unlimited);
    if (!report.policy) { continue; }
    vflow::Variation cut = vflow::within_token_budget(*report.policy, model);
    if (!cut.report.policy) { continue; }
    seed.name += " (" + cut.description + ")";
    seed.source = std::move(cut.source);
  }
  return seeds;
}

Result<std::vector<Seed>> load_seeds(const std::filesystem::path& folder) {
  std::error_code ec;
  std::vector<std::filesystem::path> modules;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
    if (entry.path().extension() == ".py") { modules.push_back(entry.path()); }
  }
  if (ec) { return candidate_error("cannot list the seeds folder " + folder.string() + ": " + ec.message()); }
  if (modules.empty()) { return candidate_error("no policies (NAME.py with NAME.json) in " + folder.string()); }
  std::sort(modules.begin(), modules.end());
  std::vector<Seed> seeds;
  for (const std::filesystem::path& module : modules) {
    std::filesystem::path config = module;
    config.replace_extension(".json");
    Seed seed;
    seed.name = module.stem().string();
    seed.source.module_file = module.string();
    seed.source.config_file = config.string();
    VORTEX_ASSIGN(seed.source.module_text, read_file(module));
    VORTEX_ASSIGN(seed.source.config_text, read_file(config));
    seeds.push_back(std::move(seed));
  }
  return seeds;
}

}  // namespace vortex::agent
