#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/distance.h"
#include "core/vflow/policy.h"

namespace vortex::agent {

// What the novelty gate looks at of a policy.
struct Fingerprint {
  int64_t candidate = 0;
  std::string key;         // of program and configuration
  std::string program;     // vflow::program_hash
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
// configuration: an evaluation of those would tell next to nothing. Not thread-safe.
class NoveltyGate {
 public:
  explicit NoveltyGate(double threshold) : threshold_(threshold) {}

  NoveltyReport judge(const Fingerprint& fresh) const;
  void remember(const Fingerprint& known);

 private:
  double threshold_;
  std::vector<int64_t> candidates_;  // by number, as in trees_
  std::unordered_map<std::string, int64_t> by_key_;
  std::unordered_map<std::string, std::vector<size_t>> by_config_;
  vflow::KnownTrees trees_;
};

}  // namespace vortex::agent
