#include "base/process_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/clock.h"

namespace vortex {
namespace {

Error failed(const char* what) {
  return environment_error(std::string("no lock between workers: ") + what + ": " + std::strerror(errno));
}

}  // namespace

Result<ProcessLock> ProcessLock::make() {
  Descriptor memory(::memfd_create("vortex-lock", MFD_CLOEXEC));
  if (memory.get() < 0) { return failed("memfd_create"); }
  return ProcessLock(std::move(memory));
}

Result<Descriptor> ProcessLock::open() const {
  const std::string path = "/proc/self/fd/" + std::to_string(memory_.get());
  Descriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (opened.get() < 0) { return failed("opening it anew"); }
  return opened;
}

void LockHolder::take(bool alone) {
  if (descriptor_ < 0) { return; }
  const double start = monotonic_seconds();
  int taken = 0;
  do { taken = ::flock(descriptor_, alone ? LOCK_EX : LOCK_SH); } while (taken != 0 && errno == EINTR);
  // A descriptor that cannot be locked is none: what runs is measured all the same, beside others.
  if (taken != 0) { descriptor_ = -1; }
  holds_ = taken == 0;
  waited_ += monotonic_seconds() - start;
}

void LockHolder::release() {
  if (!holds_) { return; }
  ::flock(descriptor_, LOCK_UN);
  holds_ = false;
}

}  // namespace vortex
