#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "agent/loop/knowledge.h"
#include "job/job.h"

namespace vortex::agent {

// What climbs are held against: those who passed, by what their recall stages measured of right answers.
class Rivals {
 public:
  Rivals(const LoopParts& parts, const Knowledge& knowledge) : parts_(parts), knowledge_(knowledge) {}

  // Takes in who has passed since the last look; but for the control arm, of which the search must not profit. Errors:
  // those of the store.
  Status look_up(const std::set<int64_t>& control);
  const std::vector<job::Rival>& all() const { return rivals_; }

 private:
  const LoopParts& parts_;
  const Knowledge& knowledge_;
  std::vector<job::Rival> rivals_;
  size_t seen_ = 0;  // points that were looked at
  int64_t last_seen_ = 0;
};

}  // namespace vortex::agent
