#include "agent/loop/rivals.h"

#include <optional>
#include <utility>

#include "study/rivals.h"

namespace vortex::agent {

// Points come one behind the other; where one has left, all are looked at again.
Status Rivals::look_up(const std::set<int64_t>& control) {
  const std::vector<study::Point>& points = knowledge_.standing().archive().points();
  const bool grown = seen_ <= points.size() && (seen_ == 0 || points[seen_ - 1].candidate == last_seen_);
  if (!grown) {
    seen_ = 0;
    rivals_.clear();
  }
  for (; seen_ < points.size(); ++seen_) {
    const study::Point& point = points[seen_];
    last_seen_ = point.candidate;
    const bool counts = point.promise > 0 && parts_.shelf.contains(point.candidate);
    if (!counts || control.contains(point.candidate)) { continue; }
    VORTEX_ASSIGN(const std::vector<db::StageRow> stages, parts_.session.store().stages(point.candidate));
    if (std::optional<job::Rival> rival = study::rival_of(stages)) { study::add_rival(std::move(*rival), rivals_); }
  }
  return ok_status();
}

}  // namespace vortex::agent
