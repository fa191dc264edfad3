#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/loop/knowledge.h"
#include "agent/loop/speeds.h"
#include "agent/loop/trials.h"

namespace vortex::agent {

// Who is asked on held-out problems, and when. What they answer decides nothing but what is claimed. Errors as
// Evaluator::run and the store have them; every function ends early, and well, when the session has ended.
class Finals {
 public:
  Finals(const LoopParts& parts, const Knowledge& knowledge, Speeds& speeds, Trials& trials)
      : parts_(parts), knowledge_(knowledge), speeds_(speeds), trials_(trials) {}

  // Is what is left of the time about what finalists need, should they answer all held-out problems?
  bool are_due() const;
  // Where batches overlap: what dense attention needs to answer, beside the last climbs.
  Status prepare();
  // Finalists in the order that the search's own problems fixed; the fallback where the first is not kept; then, until
  // finals have had their share of the time, the front's other members, from the most accurate on: those that promise a
  // claim before those that do not.
  Status run();
  // One that a person asked for. What came of it, in words; whatever, when the session ended meanwhile.
  Result<std::string> answer(int64_t candidate);

 private:
  Status ask_sequences();
  Result<Trials::Asked> ask_sequence(const std::vector<int64_t>& sequence);
  Status ask_front(double seconds);
  std::vector<int64_t> unasked_front() const;

  const LoopParts& parts_;
  const Knowledge& knowledge_;
  Speeds& speeds_;
  Trials& trials_;
  int64_t dense_lot_ = 0;  // of prepare(); 0: none
};

}  // namespace vortex::agent
