#include "sandbox/process_tree.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>

#include "base/descriptor.h"

namespace vortex::sandbox {
namespace {

constexpr int kGiveUpMs = 10'000;  // how long the keeper tries to kill a tree

void close_fd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

// Both ends of a pipe (or socket pair), closed on exec; closes what is left of them.
struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_fd(read);
    close_fd(write);
  }
  bool open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    read = ends[0];
    write = ends[1];
    return true;
  }
  bool open_socket() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
    read = ends[0];
    write = ends[1];
    return true;
  }
  static int take(int& fd) {
    const int taken = fd;
    fd = -1;
    return taken;
  }
};

// Everything that the forked processes need, made before the fork: between fork and exec in a program with threads only
// async-signal-safe calls are allowed, and no memory may be allocated.
struct Plan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  const char* folder = nullptr;
  std::array<rlimit, 5> limits{};
  std::array<int, 5> limit_kinds{};
  size_t limit_count = 0;
  std::vector<Descriptor> descriptors;  // copies with high numbers: none is overwritten before it is used
  cpu_set_t cores{};
  bool has_cores = false;
  Pipe input;  // a socket pair
  Pipe output;
  Pipe error;
  Pipe status;      // keeper -> us: one Exit
  Pipe tree;        // held by us; the keeper sees it close
  Pipe exec_fault;  // program -> us: errno, if exec fails

  void limit(int kind, double soft, double hard) {
    limit_kinds[limit_count] = kind;
    limits[limit_count++] = {static_cast<rlim_t>(soft), static_cast<rlim_t>(hard)};
  }
};

constexpr int kHighDescriptor = 128;

void fill_plan(const Launch& launch, Plan& plan) {
  // execve's parameters are not const for historical reasons; it does not write to them.
  for (const std::string& text : launch.argv) plan.argv.push_back(const_cast<char*>(text.c_str()));
  for (const std::string& text : launch.environment) plan.environment.push_back(const_cast<char*>(text.c_str()));
  plan.argv.push_back(nullptr);
  plan.environment.push_back(nullptr);
  plan.folder = launch.folder.c_str();
  for (const int fd : launch.descriptors) {
    plan.descriptors.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kHighDescriptor));
  }
  for (const int core : launch.cores) CPU_SET(static_cast<size_t>(core), &plan.cores);
  plan.has_cores = !launch.cores.empty();
  plan.limit(RLIMIT_CORE, 0, 0);
  const auto both = [&](int kind, double value) {
    if (value > 0) plan.limit(kind, value, value);
  };
  both(RLIMIT_AS, static_cast<double>(launch.memory_bytes));
  both(RLIMIT_FSIZE, static_cast<double>(launch.file_bytes));
  both(RLIMIT_NOFILE, launch.open_files);
  if (launch.cpu_seconds > 0) {
    const double seconds = std::max(1.0, std::ceil(launch.cpu_seconds));
    plan.limit(RLIMIT_CPU, seconds, seconds + 5);
  }
}

// In the program's process: applies the limits and becomes the program. Returns only if that failed, with errno set.
void become_program(const Plan& plan) {
  if (::setpgid(0, 0) != 0) return;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return;
  if (::chdir(plan.folder) != 0) return;
  for (size_t i = 0; i < plan.limit_count; ++i) {
    // The enum of glibc's prototype is an int under the hood in C++ as well.
    if (::setrlimit(static_cast<__rlimit_resource>(plan.limit_kinds[i]), &plan.limits[i]) != 0) return;
  }
  if (::dup2(plan.input.read, 0) < 0 || ::dup2(plan.output.write, 1) < 0 || ::dup2(plan.error.write, 2) < 0) return;
  int next = 3;
  for (const Descriptor& descriptor : plan.descriptors) {
    if (::dup2(descriptor.get(), next++) < 0) return;
  }
  if (plan.has_cores && ::sched_setaffinity(0, sizeof plan.cores, &plan.cores) != 0) return;
  if (::syscall(SYS_close_range, static_cast<unsigned>(next), ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0) return;
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan.argv[0], plan.argv.data(), plan.environment.data());
}

void sleep_ms(int ms) {
  const timespec time{ms / 1000, (ms % 1000) * 1'000'000L};
  ::nanosleep(&time, nullptr);
}

// Sends SIGKILL to every child of this process.
void kill_children() {
  const int list = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (list < 0) return;
  char buffer[4096];
  ssize_t got = 0;
  pid_t pid = 0;
  while ((got = ::read(list, buffer, sizeof buffer)) > 0) {
    for (ssize_t i = 0; i < got; ++i) {
      if (buffer[i] >= '0' && buffer[i] <= '9') {
        pid = pid * 10 + (buffer[i] - '0');
      } else {
        if (pid > 0) ::kill(pid, SIGKILL);
        pid = 0;
      }
    }
  }
  ::close(list);
}

// Reaps one ended child, if there is one; returns what wait4 says and notes how `program` ended.
pid_t reap(pid_t program, Exit& exit) {
  int status = 0;
  rusage usage{};
  const pid_t pid = ::wait4(-1, &status, WNOHANG, &usage);
  if (pid == program) {
    exit.wait_status = status;
    exit.peak_bytes = usage.ru_maxrss * 1024;
    exit.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  }
  return pid;
}

// The keeper: waits until the program ends or the tree is let go, then kills what is left of the tree.
[[noreturn]] void keep(const Plan& plan) {
  ::setsid();
  ::prctl(PR_SET_NAME, "vortex-keeper");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t program = ::_Fork();
  if (program == 0) {
    become_program(plan);
    const int reason = errno;
    [[maybe_unused]] const ssize_t written = ::write(plan.exec_fault.write, &reason, sizeof reason);
    ::_exit(127);
  }
  // Keep only the tree and the status pipe: the other ends must close when their real owners are done with them.
  ::dup2(plan.tree.read, 0);
  ::dup2(plan.status.write, 1);
  ::syscall(SYS_close_range, 2U, ~0U, 0U);
  if (program < 0) ::_exit(1);

  const int ended = static_cast<int>(::syscall(SYS_pidfd_open, program, 0));
  std::array<pollfd, 2> watched = {pollfd{0, POLLIN, 0}, pollfd{ended, POLLIN, 0}};
  bool let_go = false;
  Exit exit;
  for (pid_t reaped = 0; reaped != program && !let_go;) {
    // Without pidfd_open (before Linux 5.3) look every 20 ms.
    ::poll(watched.data(), watched.size(), ended < 0 ? 20 : -1);
    let_go = watched[0].revents != 0;
    while ((reaped = reap(program, exit)) > 0 && reaped != program) {
    }
    if (reaped < 0) break;
  }
  ::kill(-program, SIGKILL);
  for (int waited = 0; waited < kGiveUpMs && !exit.tree_gone; ++waited) {
    kill_children();
    pid_t reaped = 0;
    while ((reaped = reap(program, exit)) > 0) {
    }
    exit.tree_gone = reaped < 0;  // no children left
    if (!exit.tree_gone) sleep_ms(1);
  }
  [[maybe_unused]] const ssize_t written = ::write(1, &exit, sizeof exit);
  ::_exit(0);
}

Error system_fault(const std::string& what, int reason) {
  return environment_error("cannot start " + what + ": " + std::strerror(reason));
}

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

Result<std::unique_ptr<ProcessTree>> ProcessTree::start(const Launch& launch) {
  const std::string& name = launch.argv.front();
  Plan plan;
  fill_plan(launch, plan);
  if (!plan.input.open_socket() || !plan.output.open() || !plan.error.open() || !plan.status.open() ||
      !plan.tree.open() || !plan.exec_fault.open()) {
    return system_fault(name, errno);
  }
  // The keeper must not run our signal handlers and must survive a Ctrl-C in our terminal: it starts with all blocked.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t keeper = ::_Fork();
  if (keeper == 0) keep(plan);
  const int fork_reason = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (keeper < 0) return system_fault(name, fork_reason);

  std::unique_ptr<ProcessTree> tree(new ProcessTree);
  tree->keeper_ = keeper;
  tree->input_ = Pipe::take(plan.input.write);
  tree->output_ = Pipe::take(plan.output.read);
  tree->error_ = Pipe::take(plan.error.read);
  tree->status_ = Pipe::take(plan.status.read);
  tree->tree_ = Pipe::take(plan.tree.write);
  for (const int fd : {tree->input_, tree->output_, tree->error_}) make_nonblocking(fd);
  // The pipe closes on exec: reading nothing means that the program runs.
  close_fd(plan.exec_fault.write);
  int reason = 0;
  ssize_t got = 0;
  while ((got = ::read(plan.exec_fault.read, &reason, sizeof reason)) < 0 && errno == EINTR) {
  }
  if (got == sizeof reason) return system_fault(name, reason);
  return tree;
}

ProcessTree::~ProcessTree() {
  end();
  if (keeper_ > 0) (void)wait();
  for (int* fd : {&input_, &output_, &error_, &status_}) close_fd(*fd);
}

void ProcessTree::close_input() { close_fd(input_); }

void ProcessTree::end() { close_fd(tree_); }

Result<Exit> ProcessTree::wait() {
  Exit exit;
  ssize_t got = 0;
  while ((got = ::read(status_, &exit, sizeof exit)) < 0 && errno == EINTR) {
  }
  while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {
  }
  keeper_ = -1;
  if (got != sizeof exit) return environment_error("the keeper of a worker was killed: its processes may live on");
  return exit;
}

}  // namespace vortex::sandbox
