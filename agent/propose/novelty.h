#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/vflow/graph/canonical.h"
#include "core/vflow/policy.h"

namespace vortex::agent {

// What the novelty gate remembers of a policy.
struct Fingerprint {
  int64_t candidate = 0;
  std::string key;         // of program and configuration
  std::string config_key;  // of the configuration alone
  vflow::CanonicalTree tree;
};
Fingerprint fingerprint(const vflow::Policy& policy, int64_t candidate);

struct NoveltyReport {
  bool novel = true;
  std::string message;    // why it was refused
  int64_t nearest = 0;    // the nearest known candidate; 0 when nothing is known
  double distance = 1.0;  // structural distance to it
};

// Refuses what is known under another name, and programs nearer than `threshold` to a known one that runs with the same
// configuration: an evaluation of those would tell next to nothing.
NoveltyReport judge_novelty(const Fingerprint& fresh, const std::vector<Fingerprint>& known, double threshold);

}  // namespace vortex::agent
