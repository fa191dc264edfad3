#include "sandbox/keeper/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vortex::sandbox {
namespace {

struct Limit {
  const char* key;
  int kind;
};
constexpr Limit kLimitKinds[] = {{"as", RLIMIT_AS},
                                 {"cpu", RLIMIT_CPU},
                                 {"fsize", RLIMIT_FSIZE},
                                 {"nofile", RLIMIT_NOFILE},
                                 {"nproc", RLIMIT_NPROC}};
constexpr rlim_t kGraceSeconds = 5;  // from SIGXCPU to SIGKILL

bool set_limit(int kind, rlim_t soft, rlim_t hard) {
  const rlimit limit{soft, hard};
  return ::setrlimit(static_cast<__rlimit_resource>(kind), &limit) == 0;
}

}  // namespace

void let_go_of_streams() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int stream = 0; stream < 3; ++stream) {
    if (null >= 0) {
      ::dup2(null, stream);
    } else {
      ::close(stream);
    }
  }
  if (null > 2) { ::close(null); }
}

std::string set_limits(const KeeperOptions& options) {
  if (!set_limit(RLIMIT_CORE, 0, 0)) { return "the limit of core dumps"; }
  for (const Limit& limit : kLimitKinds) {
    const long long value = options.number(limit.key, 0);
    if (value <= 0) { continue; }
    const auto soft = static_cast<rlim_t>(value);
    const rlim_t hard = limit.kind == RLIMIT_CPU ? soft + kGraceSeconds : soft;
    if (!set_limit(limit.kind, soft, hard)) { return std::string("the limit ") + limit.key; }
  }
  return {};
}

bool die_with(pid_t parent) { return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent; }

unsigned place_descriptors(const KeeperOptions& options) {
  std::vector<int> aside;
  for (const int fd : options.numbers("inherit")) { aside.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, kAside)); }
  unsigned next = 3;
  for (const int fd : aside) { ::dup2(fd, static_cast<int>(next++)); }
  return next;
}

bool close_from_at_exec(unsigned first) {
  constexpr unsigned kAtExec = 4;  // CLOSE_RANGE_CLOEXEC
  if (::syscall(SYS_close_range, first, ~0U, kAtExec) == 0) { return true; }
  for (int fd = static_cast<int>(first); fd < 1024; ++fd) {
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // before Linux 5.11
  }
  return true;
}

}  // namespace vortex::sandbox
