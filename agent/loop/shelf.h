#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/result.h"
#include "core/vflow/policy.h"
#include "db/store.h"
#include "job/job.h"

namespace vortex::agent {

// Policies that a search may come back to. What they say is read from the store when it is asked for: a long search
// has more of them than it wants to hold. Called from the loop's thread alone.
class Shelf {
 public:
  Shelf(db::Store& store, const vflow::ModelGeometry& model) : store_(store), model_(model) {}

  // A candidate that is planned to climb, which makes it one that can be run again.
  void add(int64_t candidate, const vflow::Policy& policy);
  bool contains(int64_t candidate) const { return known_.contains(candidate); }

  // Its texts. Environment errors where the store cannot give them.
  Result<vflow::PolicySource> source(int64_t candidate) const;
  // Puts them into a job. One that is not on the shelf has none: dense attention.
  Status fill(int64_t candidate, job::Job& job) const;
  // Itself; the last few hundred that were asked for or added are at hand.
  Result<std::shared_ptr<const vflow::Policy>> policy(int64_t candidate);

 private:
  std::shared_ptr<const vflow::Policy> keep(int64_t candidate, vflow::Policy policy);
  std::shared_ptr<const vflow::Policy> keep(int64_t candidate, std::shared_ptr<const vflow::Policy> policy);

  db::Store& store_;
  vflow::ModelGeometry model_;
  std::unordered_set<int64_t> known_;
  std::unordered_map<int64_t, std::shared_ptr<const vflow::Policy>> at_hand_;
  std::unordered_map<int64_t, std::shared_ptr<const vflow::Policy>> before_;  // the last generation
};

// The texts of a candidate that has any. Environment errors where the store cannot give them.
Result<vflow::PolicySource> stored_source(db::Store& store, const db::Candidate& row);

}  // namespace vortex::agent
