#include "web/server/runs.h"

#include <algorithm>

namespace vortex::web {
namespace {

constexpr size_t kMostHeld = 6;

}  // namespace

Result<std::shared_ptr<LiveRun>> Runs::find(const std::string& name) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(workspace_));
  VORTEX_ASSIGN(const std::optional<db::Run> row, store->find_run(name));
  if (!row) { return candidate_error("there is no search " + name); }
  const MutexLock opening(opening_);
  {
    const MutexLock guard(mutex_);
    const auto found = held_.find(row->id);
    if (found != held_.end()) {
      found->second.used = ++turn_;
      return found->second.run;
    }
  }
  VORTEX_ASSIGN(std::shared_ptr<LiveRun> run, LiveRun::open(workspace_, *row));
  const MutexLock guard(mutex_);
  if (held_.size() >= kMostHeld) {
    held_.erase(std::min_element(held_.begin(), held_.end(),
                                 [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  }
  held_[row->id] = {run, ++turn_};
  return run;
}

bool Runs::refresh() {
  std::vector<std::shared_ptr<LiveRun>> runs;
  {
    const MutexLock guard(mutex_);
    for (const auto& [id, held] : held_) { runs.push_back(held.run); }
  }
  for (const std::shared_ptr<LiveRun>& run : runs) {
    // A database that is busy or gone for a moment is read again in the next turn.
    [[maybe_unused]] const Result<bool> changed = run->refresh();
  }
  return std::any_of(runs.begin(), runs.end(), [](const auto& run) { return !run->all_read(); });
}

}  // namespace vortex::web
