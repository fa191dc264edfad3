#include "db/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

namespace vortex::db {
namespace {

std::filesystem::path lock_file(const std::filesystem::path& workspace) { return workspace / "search.lock"; }

// The process id that the holder wrote into the file; 0 when it has not yet.
int read_pid(int fd) {
  std::array<char, 32> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size() - 1, 0);
  return size > 0 ? std::atoi(text.data()) : 0;
}

}  // namespace

Result<WorkspaceLock> WorkspaceLock::acquire(const std::filesystem::path& workspace) {
  const std::string file = lock_file(workspace).string();
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return environment_error("cannot open " + file + ": " + std::strerror(errno),
                             "check that you may write to the workspace, or choose another --workspace");
  }
  WorkspaceLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int pid = read_pid(fd);
    return environment_error("another search runs in " + workspace.string() +
                                 (pid > 0 ? " (process " + std::to_string(pid) + ")" : std::string()),
                             "wait for it, stop it with `vortex stop`, or choose another --workspace");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return environment_error("cannot write " + file + ": " + std::strerror(errno));
  }
  return lock;
}

WorkspaceLock::WorkspaceLock(WorkspaceLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }

WorkspaceLock::~WorkspaceLock() {
  if (fd_ >= 0) { ::close(fd_); }
}

std::optional<int> lock_holder(const std::filesystem::path& workspace) {
  const int fd = ::open(lock_file(workspace).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) { return std::nullopt; }
  const bool free = ::flock(fd, LOCK_SH | LOCK_NB) == 0;
  const int pid = free ? 0 : read_pid(fd);
  ::close(fd);
  return free ? std::nullopt : std::optional(pid);
}

}  // namespace vortex::db
