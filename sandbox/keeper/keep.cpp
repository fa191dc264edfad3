// The keeper: starts the program and adopts every orphan of its tree; when the program ends, or when the supervisor
// lets go of the leash (a pipe, so its death does, too), kills the whole tree and says what it came to.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "sandbox/keeper/cgroup.h"
#include "sandbox/keeper/process.h"
#include "sandbox/keeper/record.h"

namespace vortex::sandbox {
namespace {

constexpr int kGiveUpMs = 10'000;                      // how long it tries to kill a tree
constexpr int kReturnMs = 500;                         // how long it waits for a group's memory to be given back
constexpr int64_t kReturnedBytes = int64_t{32} << 20;  // what may be left: the kernel batches what it books

void sleep_ms(int ms) {
  const timespec time{ms / 1000, (ms % 1000) * 1'000'000L};
  ::nanosleep(&time, nullptr);
}

double cpu_seconds(const rusage& usage) {
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

bool write_file(const std::string& path, const char* text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) { return false; }
  const bool written = ::write(fd, text, std::strlen(text)) > 0;
  ::close(fd);
  return written;
}

// A descriptor of a user namespace in which every user is who he is outside; -1: the kernel refuses. Root needs it to
// bind what only root may reach and yet to hand the program to somebody else.
int make_user_namespace() {
  int ready[2];
  int done[2];
  if (::pipe2(ready, O_CLOEXEC) != 0 || ::pipe2(done, O_CLOEXEC) != 0) { return -1; }
  const pid_t holder = ::fork();
  if (holder == 0) {
    ::close(done[1]);
    const char made = ::unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
    char wait = 0;
    const bool held = ::write(ready[1], &made, 1) == 1 && ::read(done[0], &wait, 1) >= 0;
    ::_exit(held ? 0 : 1);
  }
  ::close(done[0]);
  ::close(ready[1]);
  char made = 'n';
  int space = -1;
  const std::string folder = "/proc/" + std::to_string(holder);
  if (holder > 0 && ::read(ready[0], &made, 1) == 1 && made == 'y' &&
      write_file(folder + "/uid_map", "0 0 4294967295") && write_file(folder + "/gid_map", "0 0 4294967295")) {
    space = ::open((folder + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC);
  }
  ::close(done[1]);
  ::close(ready[0]);
  if (holder > 0) { ::waitpid(holder, nullptr, 0); }
  return space;
}

// Puts the number of the namespace's descriptor where the command line asks for it.
bool fill_in_namespace(std::vector<char*>& words, std::string& number) {
  const auto place =
      std::find_if(words.begin(), words.end() - 1, [](char* word) { return !std::strcmp(word, "@userns"); });
  if (place == words.end() - 1) { return true; }
  const int space = make_user_namespace();
  if (space < 0 || ::fcntl(space, F_SETFD, 0) != 0) { return false; }
  number = std::to_string(space);
  *place = number.data();
  return true;
}

class Keeper {
 public:
  explicit Keeper(KeeperOptions& options)
      : options_(options),
        leash_(static_cast<int>(options.number("leash", -1))),
        status_(static_cast<int>(options.number("status", -1))),
        report_(static_cast<int>(options.number("report", -1))) {}

  int run() {
    ::prctl(PR_SET_NAME, "vortex-keeper");
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    make_groups();
    words_ = options_.program();
    std::string number;
    if (!fill_in_namespace(words_, number)) {
      tell_start_fault(report_, "a user namespace for the jail", errno);
    } else {
      start();
    }
    if (program_ > 0) { watch(); }
    finish();
    return 0;
  }

 private:
  void make_groups() {
    const std::string name = options_.text("cgroup");
    if (name.empty()) { return; }
    groups_.make(name, options_.number("memory", 0), options_.number("processes", 0));
    const bool all = groups_.limits_memory() && groups_.limits_processes();
    const bool any = groups_.limits_memory() || groups_.limits_processes() || groups_.kills();
    std::string holds;
    if (groups_.limits_memory()) { holds += "memory "; }
    if (groups_.limits_processes()) { holds += "processes "; }
    if (groups_.kills()) { holds += "kill "; }
    if (!holds.empty()) { holds.pop_back(); }
    tell_layer(report_, Layer::kCgroups,
               all   ? LayerState::kActive
               : any ? LayerState::kPartly
                     : LayerState::kUnavailable,
               all   ? holds
               : any ? holds + " only: " + groups_.why()
                     : groups_.why());
  }

  void start() {
    const pid_t keeper = ::getpid();
    program_ = ::fork();
    if (program_ < 0) { tell_start_fault(report_, "another process", errno); }
    if (program_ != 0) { return; }
    become_program(keeper);
    ::_exit(127);
  }

  void become_program(pid_t keeper) {
    if (!groups_.join()) { tell_layer(report_, Layer::kCgroups, LayerState::kUnavailable, std::strerror(errno)); }
    if (!die_with(keeper)) { return; }
    ::setpgid(0, 0);
    const bool privileges = options_.number("privileges", 0) != 0;
    if (!privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
      return tell_start_fault(report_, "no_new_privs", errno);
    }
    const std::string failed = set_limits(options_);
    if (!failed.empty()) { return tell_start_fault(report_, failed, errno); }
    tell_layer(report_, Layer::kLimits, LayerState::kActive, "");
    if (!keep_to_cores()) { return tell_start_fault(report_, "keeping to its cores", errno); }
    for (const int fd : {leash_, status_}) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); }
    if (options_.number("launcher", 0) == 0) {  // a launcher inside the jail goes on with reports and descriptors
      report_ = ::fcntl(report_, F_DUPFD_CLOEXEC, kAside);
      close_from_at_exec(place_descriptors(options_));
    }
    ::execv(words_[0], words_.data());
    const int reason = errno;
    tell_start_fault(report_, words_[0], reason);
  }

  bool keep_to_cores() const {
    const std::vector<int> cores = options_.numbers("cores");
    if (cores.empty()) { return true; }
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) { CPU_SET(static_cast<size_t>(core), &set); }
    return ::sched_setaffinity(0, sizeof set, &set) == 0;
  }

  // Until the program ends or the leash is let go.
  void watch() {
    let_go_of_streams();
    ::close(report_);
    report_ = -1;
    for (const int fd : options_.numbers("inherit")) { ::close(fd); }
    const int ended = static_cast<int>(::syscall(SYS_pidfd_open, program_, 0));
    std::array<pollfd, 2> watched = {pollfd{leash_, POLLIN, 0}, pollfd{ended, POLLIN, 0}};
    for (bool running = true; running;) {
      // Without pidfd_open (before Linux 5.3) it looks every 20 ms.
      ::poll(watched.data(), watched.size(), ended < 0 ? 20 : -1);
      running = watched[0].revents == 0 && reap() && !program_reaped_;
    }
    if (ended >= 0) { ::close(ended); }
  }

  // Reaps what has ended. False: there are no children left.
  bool reap() {
    int status = 0;
    rusage usage{};
    pid_t pid = 0;
    while ((pid = ::wait4(-1, &status, WNOHANG, &usage)) > 0) {
      cpu_seconds_ += cpu_seconds(usage);
      peak_bytes_ = std::max(peak_bytes_, int64_t{usage.ru_maxrss} * 1024);
      if (pid == program_) {
        program_reaped_ = true;
        wait_status_ = status;
      }
    }
    return pid == 0 || errno == EINTR;
  }

  // SIGKILL to every child of this process. With a pid namespace or a cgroup that kills there is nothing to chase.
  static void kill_children() {
    const int list = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (list < 0) { return; }
    std::array<char, 4096> buffer{};
    pid_t pid = 0;
    for (ssize_t got = 0; (got = ::read(list, buffer.data(), buffer.size())) > 0;) {
      for (ssize_t i = 0; i < got; ++i) {
        const char c = buffer[static_cast<size_t>(i)];
        if (c >= '0' && c <= '9') {
          pid = pid * 10 + (c - '0');
        } else {
          if (pid > 0) {
            ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 0);  // dying takes a core, too; may be refused
            ::kill(pid, SIGKILL);
          }
          pid = 0;
        }
      }
    }
    ::close(list);
  }

  bool kill_tree() {
    if (program_ <= 0) { return true; }
    if (!program_reaped_) { ::kill(-program_, SIGKILL); }
    for (int waited = 0; waited < kGiveUpMs; ++waited) {
      groups_.kill_all();
      kill_children();
      if (!reap()) { return true; }
      sleep_ms(1);
    }
    return false;
  }

  void finish() {
    Record record;
    record.kind = Record::Kind::kGone;
    record.tree_gone = kill_tree() ? 1 : 0;
    record.number = wait_status_;
    record.cpu_seconds = cpu_seconds_;
    record.peak_bytes = std::max(peak_bytes_, groups_.peak_bytes());
    record.memory_kills = groups_.memory_kills();
    record.left_bytes = groups_.current_bytes();
    for (int waited = 0; waited < kReturnMs && record.left_bytes > kReturnedBytes; waited += 5) {
      sleep_ms(5);
      record.left_bytes = groups_.current_bytes();
    }
    groups_.remove();
    tell(status_, record);
  }

  KeeperOptions& options_;
  int leash_;
  int status_;
  int report_;
  Cgroups groups_;
  std::vector<char*> words_;
  pid_t program_ = -1;
  bool program_reaped_ = false;
  int wait_status_ = SIGKILL;
  double cpu_seconds_ = 0;
  int64_t peak_bytes_ = 0;
};

}  // namespace

int keep(KeeperOptions& options) { return Keeper(options).run(); }

}  // namespace vortex::sandbox
