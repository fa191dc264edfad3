#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/loop/finals.h"
#include "agent/loop/knowledge.h"
#include "agent/loop/retests.h"
#include "agent/loop/rivals.h"
#include "agent/loop/speeds.h"
#include "agent/loop/trials.h"

namespace vortex::agent {

// What climbs while a search asks for more of what it knows.
enum class Beside { kNothing, kClimbs, kLastClimbs };

// What a search asks of its candidates beside their climbs: further problems where they could change the front, speed
// once more in processes of its own, held-out problems for what is claimed. What they come to is taken into what is
// known of them. Errors as Evaluator::run has them; every function ends early, and well, when the session has ended.
// Called from the loop's thread alone.
class Rounds {
 public:
  Rounds(const LoopParts& parts, Knowledge& knowledge) : parts_(parts), knowledge_(knowledge) {}
  Rounds(const Rounds&) = delete;  // its members refer to each other
  Rounds& operator=(const Rounds&) = delete;

  // Was anybody asked on held-out problems, in whatever sitting?
  Result<bool> has_asked() const { return trials_.has_asked(); }
  // Takes in who has passed since, as Rivals has it.
  Status look_up_rivals(const std::set<int64_t>& control) { return rivals_.look_up(control); }
  // The job of a climb: held against the rivals of the last look-up.
  job::Job climb(const vflow::PolicySource& source) const;

  // Asks what the standing leaves open, until there is nothing more to ask: speed of the front's members, until each
  // has been measured in as many processes as the options ask for; then rounds of further problems, until the front is
  // clear, the rounds are used up, retests have had their share of all problems answered, or new problems theirs of the
  // time: first for those that promise a claim, then for those that could change the front.
  // Beside climbs, where batches overlap: asks for a speed and a round of problems at once, and returns; `overlap` such
  // calls later they are taken into the standing, and what is open then is asked. Once no more climbs will follow in
  // such a search, what would be asked round after round is asked at once, as far as a batch's workers reach: they
  // would be idle. Beside the last climbs it returns as well, and the next call takes what was asked.
  Status ask(Beside beside);
  // Waits for what is being asked and takes it into the standing. Every function below but prepare_finals() does so
  // first.
  Status take_asked();
  bool finals_are_due() const { return finals_.are_due(); }
  // Once nothing more is proposed, beside the last climbs.
  Status prepare_finals() { return finals_.prepare(); }
  Status finals();
  // What came of a person's request, in words; whatever, when the session ended meanwhile.
  Result<std::string> answer(const db::Request& request);

 private:
  Result<std::vector<Assignment>> next(bool all_at_once);

  const LoopParts& parts_;
  Knowledge& knowledge_;
  Rivals rivals_{parts_, knowledge_};
  Speeds speeds_{parts_, knowledge_};
  Retests retests_{parts_, knowledge_};
  Trials trials_{parts_, knowledge_};
  Finals finals_{parts_, knowledge_, speeds_, trials_};
  std::vector<Assignment> asked_;  // and not taken yet
  int64_t asked_lot_ = 0;          // their number with the evaluator
  int asked_age_ = 0;              // calls of ask() since
};

}  // namespace vortex::agent
