#pragma once

#include <cstdint>
#include <vector>

#include "agent/loop/knowledge.h"
#include "job/job.h"

namespace vortex::agent {

// Speed once more, in processes of its own, of whom it decides. Errors as Evaluator::run and the store have them.
class Speeds {
 public:
  Speeds(const LoopParts& parts, Knowledge& knowledge) : parts_(parts), knowledge_(knowledge) {}

  // What a climb asks of a first process, where further ones follow: less.
  void set_first_look(job::Job& job) const;
  // The next processes for members of the front; `all_at_once`: all that each lacks.
  Result<std::vector<Assignment>> next(bool all_at_once);
  // Measures these until each has been measured in as many processes as the options ask for.
  Status measure(const std::vector<int64_t>& candidates);

 private:
  Result<std::vector<Assignment>> lacking(const std::vector<int64_t>& candidates, bool all_at_once) const;

  const LoopParts& parts_;
  Knowledge& knowledge_;
  std::vector<int64_t> measuring_;  // members of the front, of which some process may still be wanted
};

}  // namespace vortex::agent
