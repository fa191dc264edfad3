#include "db/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <string>
#include <system_error>

#include "base/clock.h"

namespace vortex::db {
namespace {

std::filesystem::path lock_file(const std::filesystem::path& workspace) { return workspace / "search.lock"; }

// What the holder wrote into the file; a process id of 0 when it has not yet.
struct Holder {
  int pid = 0;
  std::string host;
  double since = 0;  // seconds of the wall clock
};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

Holder read_holder(int fd) {
  std::array<char, 512> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size() - 1, 0);
  Holder holder;
  std::istringstream words(size > 0 ? text.data() : "");
  words >> holder.pid >> holder.host >> holder.since;
  return holder;
}

// " (process 12 on host, for 40 min)"; empty where nothing is known.
std::string described(const Holder& holder) {
  if (holder.pid <= 0) { return {}; }
  std::string text = " (process " + std::to_string(holder.pid);
  if (!holder.host.empty()) { text += " on " + holder.host; }
  const double age = wall_seconds() - holder.since;
  if (holder.since > 0 && age >= 0) {
    text += age < 120 ? ", for " + std::to_string(static_cast<int>(age)) + " s"
                      : ", for " + std::to_string(static_cast<int>(age / 60)) + " min";
  }
  return text + ")";
}

}  // namespace

Result<WorkspaceLock> WorkspaceLock::acquire(const std::filesystem::path& workspace) {
  std::error_code ec;
  std::filesystem::create_directories(workspace, ec);  // why it cannot be, the next call says
  const std::string file = lock_file(workspace).string();
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return environment_error("cannot open " + file + ": " + std::strerror(errno),
                             "check that you may write to the workspace, or choose another --workspace");
  }
  WorkspaceLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return environment_error("another search runs in " + workspace.string() + described(read_holder(fd)),
                             "wait for it, stop it with `vortex stop`, or choose another --workspace");
  }
  const std::string words = std::to_string(::getpid()) + " " + host_name() + " " +
                            std::to_string(static_cast<int64_t>(wall_seconds())) + "\n";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, words.data(), words.size(), 0) != static_cast<ssize_t>(words.size())) {
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
  const int pid = free ? 0 : read_holder(fd).pid;
  ::close(fd);
  return free ? std::nullopt : std::optional(pid);
}

}  // namespace vortex::db
