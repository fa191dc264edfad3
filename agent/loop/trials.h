#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "agent/loop/knowledge.h"
#include "study/claims.h"

namespace vortex::agent {

// Candidates on held-out problems, each in rounds until it is clear what can be said of it. What they answer decides
// nothing but what is claimed; only one that crashes on them loses its pass. Errors as Evaluator::run and the store
// have them.
class Trials {
 public:
  Trials(const LoopParts& parts, Knowledge& knowledge) : parts_(parts), knowledge_(knowledge) {}

  // Was anybody asked, in whatever sitting?
  Result<bool> has_asked() const;
  // Was this one, as far as is known in this sitting?
  bool has_asked(int64_t candidate) const { return place_of(candidate) < trials_.size(); }

  struct Asked {
    std::vector<int64_t> kept;
    bool failed = false;  // one of them lost its pass
  };
  // Asks these, in this order, behind all that were asked before: a part of it where the session ends meanwhile.
  Result<Asked> ask(const std::vector<int64_t>& candidates);
  // What can be said of one that was asked.
  Result<study::Claim> claim_of(int64_t candidate) const;

  // How many rounds there are.
  int rounds() const;
  // What a candidate is given in these rounds, from 1.
  Result<std::vector<Assignment>> tasks(const std::vector<int64_t>& candidates, int first, int last) const;

 private:
  // One who was asked.
  struct Trial {
    study::Finalist finalist;
    int round = 0;        // that it has behind it
    bool failed = false;  // it lost its pass
    bool ended = false;
    bool kept = false;
  };
  size_t place_of(int64_t candidate) const;  // in trials_; behind the last where it was not asked
  Trial& trial_of(int64_t candidate) { return trials_[place_of(candidate)]; }
  Status recall();
  Status add(const std::vector<int64_t>& candidates);
  std::vector<int64_t> least_advanced(const std::vector<int64_t>& candidates, int& round);
  study::SequenceRules rules_for(int64_t candidate) const;
  void judge(Trial& trial) const;
  Status take(Trial& trial);
  Result<std::optional<Assignment>> task_of(int64_t candidate, int round) const;
  Status answer(const std::vector<int64_t>& candidates, int first, int last);

  const LoopParts& parts_;
  Knowledge& knowledge_;
  std::vector<Trial> trials_;        // in the order in which they were asked
  std::vector<job::Outcome> dense_;  // what dense attention answered of the rounds so far
};

}  // namespace vortex::agent
