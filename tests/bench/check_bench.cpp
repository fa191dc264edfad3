// How many policies a second one core parses, traces and checks: every example policy in turn, for about two seconds.
// Then what the distances of 1,000 random programs from each other cost. Build: c++ -std=c++20 -O2 -I.
// tests/bench/check_bench.cpp core/vflow/*.cpp core/base/*.cpp -lcrypto Run from the root of the repository.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/rng.h"
#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/distance.h"
#include "core/vflow/policy.h"
#include "core/vflow/vary/generate.h"

int main() {
  using namespace vortex;
  using namespace vortex::vflow;
  using Clock = std::chrono::steady_clock;
  std::vector<PolicySource> sources;
  for (const auto& entry : std::filesystem::directory_iterator("examples/policies")) {
    if (entry.path().extension() != ".py") { continue; }
    const Result<std::string> module = read_file(entry.path());
    const Result<std::string> config = read_file(std::filesystem::path(entry.path()).replace_extension(".json"));
    if (!module.ok() || !config.ok()) { return 1; }
    sources.push_back({*module, *config});
  }
  ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 4;
  model.head_dim = 64;
  model.max_context = 4608;
  std::vector<double> seconds;
  const Clock::time_point start = Clock::now();
  while (Clock::now() - start < std::chrono::seconds(2)) {
    for (const PolicySource& source : sources) {
      const Clock::time_point begin = Clock::now();
      if (!check_policy(source, model).policy) { return 1; }
      seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    }
  }
  std::sort(seconds.begin(), seconds.end());
  double total = 0;
  for (double one : seconds) { total += one; }
  const auto count = static_cast<double>(seconds.size());
  std::printf("%zu policies, %.0f checks: %.0f checks/s, median %.0f us, slowest %.0f us\n", sources.size(), count,
              count / total, 1e6 * seconds[seconds.size() / 2], 1e6 * seconds.back());

  Rng rng(1);
  std::vector<CanonicalTree> trees;
  size_t nodes = 0;
  while (trees.size() < 1000) {
    const Policy policy = random_policy(rng, model);
    nodes += policy.program.indexer.nodes.size() + policy.program.cache.nodes.size();
    trees.push_back(canonical_tree(policy.program));
  }
  const Clock::time_point begin = Clock::now();
  const double mean = mean_pairwise_distance(trees);
  std::printf("%zu random programs of %.1f operations pairwise: %.2f s, mean distance %.3f\n", trees.size(),
              static_cast<double>(nodes) / static_cast<double>(trees.size()),
              std::chrono::duration<double>(Clock::now() - begin).count(), mean);
  return 0;
}
