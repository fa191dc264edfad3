// The launcher: the first program inside the jail. It looks where it is, gives up being root, closes the walls that
// every process must close for itself, starts the program and tells how that ended, which bubblewrap would blur. Walls
// are closed before exec because a library may start threads while it is loaded, which a later wall would not hold.
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "sandbox/keeper/filter.h"
#include "sandbox/keeper/landlock.h"
#include "sandbox/keeper/process.h"
#include "sandbox/keeper/record.h"

namespace vortex::sandbox {
namespace {

constexpr std::array kNamespaces = {"user", "mnt", "pid", "ipc", "uts", "net"};

std::string namespace_of_self(const std::string& kind) {
  std::array<char, 64> name{};
  const ssize_t size = ::readlink(("/proc/self/ns/" + kind).c_str(), name.data(), name.size() - 1);
  return size > 0 ? std::string(name.data(), static_cast<size_t>(size)) : std::string();
}

// Gives up all capabilities, also those that exec would give back to root. Raw calls: libcap is one library more.
bool drop_capabilities() {
  struct {
    uint32_t version = 0x20080522;
    int pid = 0;
  } header;
  std::array<uint32_t, 6> none{};
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  ::prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);  // only allowed while there are some
  return ::syscall(SYS_capset, &header, none.data()) == 0;
}

class Launcher {
 public:
  explicit Launcher(KeeperOptions& options)
      : options_(options), report_(static_cast<int>(options.number("report", -1))) {}

  int run() {
    ::fcntl(report_, F_SETFD, FD_CLOEXEC);
    look_around();
    const pid_t launcher = ::getpid();
    const pid_t program = ::fork();
    if (program == 0) {
      become_program(launcher);
      ::_exit(127);
    }
    if (program < 0) {
      tell_start_fault(report_, "another process", errno);
      return 1;
    }
    ::prctl(PR_SET_DUMPABLE, 0);  // the program must not open our descriptors through /proc
    let_go_of_streams();
    for (const int fd : options_.numbers("inherit")) { ::close(fd); }
    tell_end(program);
    return 0;
  }

 private:
  // Every namespace must be another than the supervisor's.
  void look_around() {
    if (options_.text("outside-pid").empty()) { return; }
    std::string shared;
    for (const char* kind : kNamespaces) {
      const std::string own = namespace_of_self(kind);
      if (own.empty() || own == options_.text(std::string("outside-") + kind)) { shared += std::string(" ") + kind; }
    }
    tell_layer(report_, Layer::kNamespaces, shared.empty() ? LayerState::kActive : LayerState::kPartly,
               shared.empty() ? "user mnt pid ipc uts net" : "shared with the outside:" + shared);
  }

  bool leave_root() {
    const auto user = static_cast<uid_t>(options_.number("user", 0));
    if (user != 0) {
      if (::setgroups(0, nullptr) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0) { return false; }
    }
    const bool dropped = drop_capabilities();
    if (user != 0 || ::getuid() != 0) {
      tell_layer(report_, Layer::kUser, LayerState::kActive, "user " + std::to_string(::getuid()));
    } else {
      tell_layer(report_, Layer::kUser, LayerState::kPartly, "root without capabilities: " + options_.text("user-why"));
    }
    return dropped;
  }

  bool close_landlock() {
    if (options_.number("landlock", 0) == 0) { return true; }
    std::string why;
    const int version = landlock_version(why);
    if (version > 0) {
      const FileRules rules{options_.all("read"), options_.all("execute"), options_.all("write"),
                            options_.all("device")};
      why = confine(rules, version);
    }
    const bool holds = version > 0 && why.empty();
    tell_layer(report_, Layer::kLandlock, holds ? LayerState::kActive : LayerState::kUnavailable,
               holds ? "version " + std::to_string(version) : why);
    return holds || version == 0;  // rules that the kernel refuses are a fault of ours, never a reason to go on
  }

  bool close_seccomp() {
    const std::string list = options_.text("calls");
    if (list.empty()) { return true; }
    const std::string why = filter_system_calls({list == "gpu", options_.number("kill-unlisted", 0) != 0});
    tell_layer(report_, Layer::kSeccomp, why.empty() ? LayerState::kActive : LayerState::kUnavailable,
               why.empty() ? list + " list" : why);
    return true;
  }

  void become_program(pid_t launcher) {
    // The report must not stand where the program's descriptors go.
    const int aside = ::fcntl(report_, F_DUPFD_CLOEXEC, kAside);
    if (aside < 0) { return tell_start_fault(report_, "a descriptor", errno); }
    report_ = aside;
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) { return tell_start_fault(report_, "no_new_privs", errno); }
    if (options_.number("leave-root", 0) != 0 && !leave_root()) {
      return tell_start_fault(report_, "giving up root", errno);
    }
    const std::string failed = set_limits(options_);
    if (!failed.empty()) { return tell_start_fault(report_, failed, errno); }
    if (!die_with(launcher)) {
      return;  // behind the change of user, which forgets it
    }
    close_from_at_exec(place_descriptors(options_));
    std::vector<char*> words = options_.program();
    if (!close_landlock()) { return tell_start_fault(report_, "the rules of Landlock", 0); }
    close_seccomp();
    ::execv(words[0], words.data());
    const int reason = errno;
    tell_start_fault(report_, words[0], reason);
  }

  void tell_end(pid_t program) const {
    Record record;
    record.kind = Record::Kind::kEnded;
    rusage usage{};
    while (::wait4(program, &record.number, 0, &usage) < 0 && errno == EINTR) {}
    record.peak_bytes = int64_t{usage.ru_maxrss} * 1024;
    record.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    tell(report_, record);
  }

  KeeperOptions& options_;
  int report_;
};

}  // namespace

int enter(KeeperOptions& options) { return Launcher(options).run(); }

}  // namespace vortex::sandbox
