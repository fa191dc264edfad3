#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/propose/seeds.h"
#include "agent/session/budget.h"
#include "base/result.h"
#include "core/vflow/policy.h"
#include "db/store.h"

namespace vortex::agent {

struct SearchOptions;

// A policy to try, and where it comes from.
struct Proposal {
  vflow::PolicySource source;
  std::vector<int64_t> parents;  // candidates; empty for seeds and fresh programs
  std::string operation;         // what was done to the parents, in words
  std::string rationale;         // why, in words
  db::Origin origin = db::Origin::kSeed;
  std::optional<vflow::CheckReport> report = {};  // check_policy's of `source`, where the proposer has it
};

// A candidate that climbed the whole ladder and may have offspring.
struct Parent {
  int64_t candidate = 0;
  std::shared_ptr<const vflow::Policy> policy = nullptr;  // null: `policy_of` reads it
  double weight = 0;   // of the front: probability of being non-dominated; of what passed: study::Point::promise
  double promise = 0;  // study::Point::promise; 0: its right answers were not forced
};

// What a proposer may look at. Results of the batch that is being made are not in it, so that the same seed and the
// same results of earlier batches give the same proposals, in this session or a resumed one.
struct ProposalContext {
  uint64_t seed = 0;
  int64_t batch = 0;  // from 1
  int64_t slot = 0;   // place in the batch
  int64_t draw = 0;   // how many proposals for this slot were refused
  int64_t index = 0;  // (batch - 1) * slots a batch + slot
  vflow::ModelGeometry model;
  const std::vector<Seed>* seeds = nullptr;
  const std::vector<Parent>* front = nullptr;   // without dense attention, which has no policy
  const std::vector<Parent>* passed = nullptr;  // everything that climbed to the top, the front included
  // The control arm asks for an independent proposal: front and passed are empty, and no result may be looked at.
  bool control = false;
  Budget* budget = nullptr;  // what paid calls are asked of, and booked in
  std::function<Result<std::shared_ptr<const vflow::Policy>>(int64_t candidate)> read_policy;
};

// A parent's policy, never null.
inline Result<std::shared_ptr<const vflow::Policy>> policy_of(const ProposalContext& context, const Parent& parent) {
  if (parent.policy != nullptr) { return parent.policy; }
  return context.read_policy(parent.candidate);
}

// What a proposer that asks somebody outside works with, beyond the context of a single proposal.
struct ProposerSetup {
  db::Store* store = nullptr;
  int64_t run = 0;
  const study::SearchOptions* options = nullptr;
  std::function<bool()> should_stop;                   // polled while waiting for an answer
  std::function<void(const std::string&)> on_message;  // for the user
  std::function<void(double seconds)> sleep;           // between attempts
};

// Makes proposals. One that needs state between calls derives it from the context and from rows; one that may fail (an
// endpoint that is down) says so with blame environment.
class Proposer {
 public:
  virtual ~Proposer() = default;
  // A policy for the context's place; nothing when this slot shall stay empty.
  virtual Result<std::optional<Proposal>> propose(const ProposalContext& context) = 0;
  // Everything of this batch has its verdict.
  virtual Status learn(int64_t /*batch*/) { return ok_status(); }
};

}  // namespace vortex::agent
