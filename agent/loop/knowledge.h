#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "agent/evaluate/evaluator.h"
#include "agent/loop/clocks.h"
#include "agent/loop/shelf.h"
#include "agent/session/session.h"
#include "core/vflow/policy.h"
#include "study/claims.h"
#include "study/history.h"
#include "study/standing.h"

namespace vortex::agent {

// What whoever asks something of candidates works with; it outlives them.
struct LoopParts {
  Session& session;
  const study::SearchOptions& options;
  Evaluator& evaluator;
  const Shelf& shelf;
};

// What a search knows of its candidates: the standing, and how far each was asked beside its climb. Called from the
// loop's thread alone. Errors: those of the store.
class Knowledge {
 public:
  explicit Knowledge(const LoopParts& parts);

  // Dense attention, with which everything is paired, by its number; then once its climb is over.
  void set_dense(int64_t candidate) { dense_ = candidate; }
  void take_dense(const study::CandidateHistory& dense);
  int64_t dense() const { return dense_; }

  // Takes a candidate's rows into the standing, as it was when what the search knows of it was known. Candidates come
  // in slot order, whatever order they ended in.
  void absorb(const study::CandidateHistory& today);
  // Counts what a policy's climb took.
  void count_climb(const study::CandidateHistory& policy) { clocks_.count_climb(policy); }
  // Takes in what ended rounds of retests and of speeds came to; nothing where the session ended meanwhile.
  Status take(const std::vector<Assignment>& tasks);
  // It was asked on held-out problems.
  void set_confirmed(int64_t candidate) { known_[candidate].confirmed = true; }

  // Beside its climb.
  study::Known of(int64_t candidate) const;
  // Its rows, whatever of them was taken in.
  Result<study::CandidateHistory> read(int64_t candidate) const;
  const study::Standing& standing() const { return standing_; }
  const study::SequenceRules& rules() const { return rules_; }
  const Clocks& clocks() const { return clocks_; }
  // The search's job for a policy, paired with what dense attention answered.
  job::Job job_of(const vflow::PolicySource& source) const;

 private:
  const LoopParts& parts_;
  int64_t dense_ = 0;
  study::Standing standing_;
  study::SequenceRules rules_;
  std::vector<job::Outcome> incumbent_;
  std::map<int64_t, study::Known> known_;  // of those that did more than climb
  Clocks clocks_;
};

}  // namespace vortex::agent
