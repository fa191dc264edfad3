#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"

namespace vortex::db {

// The right to run a search in a workspace, held through flock on <workspace>/search.lock: the kernel gives it back
// when the process ends, however it ends, so a crash never leaves a stale lock.
class WorkspaceLock {
 public:
  // Makes the workspace if there is none. Fails (environment) when another process holds it, naming that process, its
  // host and since when.
  static Result<WorkspaceLock> acquire(const std::filesystem::path& workspace);

  WorkspaceLock(WorkspaceLock&& other) noexcept;
  WorkspaceLock& operator=(WorkspaceLock&&) = delete;
  ~WorkspaceLock();

 private:
  explicit WorkspaceLock(int fd) : fd_(fd) {}
  int fd_;
};

// The process that holds the lock, or nothing when nobody does: tells a running search from one that died.
std::optional<int> lock_holder(const std::filesystem::path& workspace);

}  // namespace vortex::db
