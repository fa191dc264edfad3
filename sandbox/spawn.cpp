#include "sandbox/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <cerrno>
#include <mutex>
#include <system_error>

namespace vortex::sandbox {
namespace {

namespace bp = boost::process;

// Our only initializer. Those of Boost.Process lose errors or descriptors: its pipes are not closed at exec,
// limit_handles closes the standard streams, start_dir ignores its failure. What runs between fork and exec must not
// allocate, throw or return after a failure: Boost.Process would go on and start the program.
class Seam : public bp::extend::handler {
 public:
  explicit Seam(const Spawn& what) : what_(what) {
    // execve's parameters are not const for historical reasons; it does not write to them.
    for (const std::string& entry : what.environment) { environment_.push_back(const_cast<char*>(entry.c_str())); }
    environment_.push_back(nullptr);
  }

  template <typename Executor>
  void on_setup(Executor& executor) const {
    executor.env = const_cast<char**>(environment_.data());
  }

  template <typename Executor>
  void on_exec_setup(Executor& executor) const noexcept {
    const char* failed = prepare();
    if (failed == nullptr) { return; }
    executor.set_error(std::error_code(errno, std::system_category()), failed);
    ::_exit(127);
  }

  template <typename Executor>
  void on_error(Executor& executor, const std::error_code&) const noexcept {
    if (executor.pid > 0) {
      wait_for_child(executor.pid);  // otherwise it stays a zombie
    }
  }

 private:
  // In the child. Gives the name of what failed, with errno.
  const char* prepare() const noexcept {
    ::setsid();  // signals are blocked until here: a Ctrl-C in our terminal is not the child's
    for (int number = 1; number < NSIG; ++number) { ::signal(number, SIG_DFL); }
    for (int stream = 0; stream < 3; ++stream) {
      if (::dup2(what_.streams[static_cast<size_t>(stream)], stream) < 0) { return "dup2"; }
    }
    if (::chdir(what_.folder.c_str()) != 0) { return "chdir"; }
    constexpr unsigned kAtExec = 4;  // CLOSE_RANGE_CLOEXEC
    if (::syscall(SYS_close_range, 3U, ~0U, kAtExec) != 0) {
      for (int fd = 3; fd < 1024; ++fd) {
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // before Linux 5.11
      }
    }
    for (const int descriptor : what_.descriptors) {
      if (::fcntl(descriptor, F_SETFD, 0) != 0) { return "fcntl"; }
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    return nullptr;
  }

  const Spawn& what_;
  std::vector<char*> environment_;
};

// Blocks every signal for the thread, as long as it lives.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

int wait_for_child(pid_t child) {
  int status = -1;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) { return -1; }
  }
  return status;
}

Result<pid_t> spawn(const Spawn& what) {
  static std::mutex mutex;  // Boost.Process marks its own pipe a moment late: another child must not inherit it
  const std::lock_guard guard(mutex);
  const NoSignals no_signals;
  const Seam seam(what);
  std::error_code failed;
  bp::child child(bp::exe = what.program, bp::args = what.arguments, failed, seam);
  const pid_t pid = child.id();
  child.detach();  // its waiting is not thread-safe and takes a death by signal 9 for exit code 9: we wait ourselves
  if (failed) {
    return environment_error("cannot start " + what.program + ": " + std::system_category().message(failed.value()));
  }
  return pid;
}

}  // namespace vortex::sandbox
