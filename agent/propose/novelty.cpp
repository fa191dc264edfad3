#include "agent/propose/novelty.h"

#include <cstdio>
#include <utility>

#include "base/sha256.h"

namespace vortex::agent {

Fingerprint fingerprint(const vflow::Policy& policy, int64_t candidate) {
  // The key of a policy without a program is the key of its configuration.
  vflow::Policy only_config;
  only_config.program.dialect = policy.program.dialect;
  only_config.config = policy.config;
  vflow::CanonicalTree tree = vflow::canonical_tree(policy.program);
  const std::string text = vflow::canonical_text(tree);
  return {candidate, vflow::policy_key(text, policy.program.dialect, policy.config), sha256_hex(text),
          vflow::policy_key(only_config), std::move(tree)};
}

NoveltyReport NoveltyGate::judge(const Fingerprint& fresh) const {
  if (const auto same = by_key_.find(fresh.key); same != by_key_.end()) {
    return {false, "the same policy as candidate " + std::to_string(same->second), same->second, 0.0};
  }
  if (const auto alike = by_config_.find(fresh.config_key); alike != by_config_.end()) {
    if (const auto near = trees_.first_within(fresh.tree, alike->second, threshold_)) {
      const int64_t other = candidates_[near->tree];
      char text[160];
      std::snprintf(text, sizeof text,
                    "has the configuration of candidate %lld and a structural distance of %.3f to it, less than %.3f",
                    static_cast<long long>(other), near->distance, threshold_);
      return {false, text, other, near->distance};
    }
  }
  NoveltyReport report;
  if (const auto nearest = trees_.nearest(fresh.tree)) {
    report.nearest = candidates_[nearest->tree];
    report.distance = nearest->distance;
  }
  return report;
}

void NoveltyGate::remember(const Fingerprint& known) {
  by_key_.emplace(known.key, known.candidate);
  by_config_[known.config_key].push_back(candidates_.size());
  candidates_.push_back(known.candidate);
  trees_.add(known.tree);
}

}  // namespace vortex::agent
