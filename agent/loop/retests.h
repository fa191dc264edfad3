#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/loop/knowledge.h"
#include "study/racing.h"

namespace vortex::agent {

// Rounds of further problems: for points that promise a claim, and for those that could change the front. Dense
// attention answers whatever any of them is asked, so that all stay comparable with it. Errors as Evaluator::run and
// the store have them.
class Retests {
 public:
  Retests(const LoopParts& parts, Knowledge& knowledge);

  // What is wanted next, within the share of problems and of time that retests may have, and as many as make a batch;
  // counted as asked. `beside`: tasks of candidates that do one thing at a time. `all_at_once`: also what would be
  // wanted round after round, and of those that are busy.
  Result<std::vector<Assignment>> next(const std::vector<Assignment>& beside, bool all_at_once);
  // One more round of a candidate, that a person asked for. What came of it, in words; whatever, when the session ended
  // meanwhile.
  Result<std::string> answer(int64_t candidate);

 private:
  // A retest that is wanted, and the last round that its candidate may come to.
  struct Wish {
    study::Retest retest;
    int last = 0;
  };
  std::vector<Wish> wishes(bool all);
  bool has_time(const study::Retest& retest) const;
  Result<job::Job> job_for(const study::Retest& retest) const;
  Status add_dense(std::vector<Assignment>& tasks) const;

  const LoopParts& parts_;
  Knowledge& knowledge_;
  study::Racing racing_;
  int64_t problems_ = 0;  // of policies, trials counted
};

}  // namespace vortex::agent
