#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_annotations.h"
#include "web/server/live_run.h"

namespace vortex::web {

// The runs that somebody looks at. Each is read when it is first asked for; those that nobody has asked for longest are
// let go. Thread-safe.
class Runs {
 public:
  explicit Runs(std::filesystem::path workspace) : workspace_(std::move(workspace)) {}

  // A run by name or number; the candidate's error where there is none.
  Result<std::shared_ptr<LiveRun>> find(const std::string& name);
  // Reads what is new in all runs that are held; true if of some a part is left. Failures are kept and told by the next
  // `find`.
  bool refresh();

  const std::filesystem::path& workspace() const { return workspace_; }

 private:
  struct Held {
    std::shared_ptr<LiveRun> run;
    int64_t used = 0;
  };

  std::filesystem::path workspace_;
  Mutex mutex_;
  Mutex opening_;  // one run is opened at a time: who asks for the same waits for it
  std::map<int64_t, Held> held_ VORTEX_GUARDED_BY(mutex_);
  int64_t turn_ VORTEX_GUARDED_BY(mutex_) = 0;
};

}  // namespace vortex::web
