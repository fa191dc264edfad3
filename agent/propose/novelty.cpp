#include "agent/propose/novelty.h"

#include <cstdio>

#include "core/vflow/graph/distance.h"

namespace vortex::agent {

Fingerprint fingerprint(const vflow::Policy& policy, int64_t candidate) {
  // The key of a policy without a program is the key of its configuration.
  vflow::Policy only_config;
  only_config.program.dialect = policy.program.dialect;
  only_config.config = policy.config;
  return {candidate, vflow::policy_key(policy), vflow::policy_key(only_config), vflow::canonical_tree(policy.program)};
}

NoveltyReport judge_novelty(const Fingerprint& fresh, const std::vector<Fingerprint>& known, double threshold) {
  for (const Fingerprint& other : known) {
    if (other.key != fresh.key) { continue; }
    return {false, "the same policy as candidate " + std::to_string(other.candidate), other.candidate, 0.0};
  }
  NoveltyReport report;
  for (const Fingerprint& other : known) {
    const double distance = vflow::structural_distance(fresh.tree, other.tree);
    if (report.nearest == 0 || distance < report.distance) {
      report.nearest = other.candidate;
      report.distance = distance;
    }
    if (distance < threshold && other.config_key == fresh.config_key) {
      char text[160];
      std::snprintf(text, sizeof text,
                    "has the configuration of candidate %lld and a structural distance of %.3f to it, less than %.3f",
                    static_cast<long long>(other.candidate), distance, threshold);
      return {false, text, other.candidate, distance};
    }
  }
  return report;
}

}  // namespace vortex::agent
