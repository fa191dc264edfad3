#include "sandbox/keeper/filter.h"

#ifdef VORTEX_SECCOMP

#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace vortex::sandbox {
namespace {

// What LibTorch's, OpenBLAS's and our own code was seen to call in the stages of the ladder, and the plain calls of
// libc around it that a newer or older one may use instead. Nothing here reaches another process, the network, or a
// file that the other layers do not allow.
constexpr const char* kAllowed[] = {
    // Starting and memory.
    "access", "arch_prctl", "brk", "execve", "faccessat", "faccessat2", "get_mempolicy", "getrandom", "madvise",
    "mbind", "membarrier", "mincore", "mlock", "mmap", "mprotect", "mremap", "msync", "munlock", "munmap", "prlimit64",
    "rseq", "set_mempolicy", "set_robust_list", "set_tid_address", "sysinfo", "uname",
    // Files.
    "chdir", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "fadvise64", "fallocate", "fcntl",
    "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "link", "linkat", "lseek",
    "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "pipe", "pipe2", "poll", "ppoll", "pread64", "preadv",
    "pselect6", "pwrite64", "pwritev", "read", "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2",
    "rmdir", "select", "sendfile", "stat", "statfs", "statx", "truncate", "umask", "unlink", "unlinkat", "utimensat",
    "write", "writev",
    // Threads, clocks, signals of its own.
    "clock_getres", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex", "futex_waitv", "getcpu",
    "gettimeofday", "nanosleep", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_yield", "sigaltstack",
    "tgkill", "time", "times",
    // Who am I.
    "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid",
    "getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid"};

// What the driver and CUDA's libraries were seen to call beside. A namespace of its own keeps their sockets harmless.
constexpr const char* kAllowedGpu[] = {"accept4",    "bind",           "connect",        "epoll_create1", "epoll_ctl",
                                       "epoll_wait", "epoll_pwait",    "eventfd2",       "getpeername",   "getsockname",
                                       "getsockopt", "ioctl",          "listen",         "memfd_create",  "recvfrom",
                                       "recvmsg",    "sendmsg",        "sendto",         "setsockopt",    "shutdown",
                                       "symlink",    "timerfd_create", "timerfd_settime"};

// What only somebody calls who wants out: other processes, the kernel's own settings, its less guarded corners.
constexpr const char* kForbidden[] = {"acct",
                                      "add_key",
                                      "adjtimex",
                                      "bpf",
                                      "chroot",
                                      "clock_adjtime",
                                      "clock_settime",
                                      "delete_module",
                                      "fanotify_init",
                                      "finit_module",
                                      "fsconfig",
                                      "fsmount",
                                      "fsopen",
                                      "init_module",
                                      "io_uring_enter",
                                      "io_uring_register",
                                      "io_uring_setup",
                                      "ioperm",
                                      "iopl",
                                      "kcmp",
                                      "kexec_file_load",
                                      "kexec_load",
                                      "keyctl",
                                      "mount",
                                      "mount_setattr",
                                      "move_mount",
                                      "move_pages",
                                      "name_to_handle_at",
                                      "nfsservctl",
                                      "open_by_handle_at",
                                      "open_tree",
                                      "perf_event_open",
                                      "pidfd_getfd",
                                      "pivot_root",
                                      "process_madvise",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "ptrace",
                                      "quotactl",
                                      "reboot",
                                      "request_key",
                                      "setdomainname",
                                      "sethostname",
                                      "setns",
                                      "settimeofday",
                                      "swapoff",
                                      "swapon",
                                      "syslog",
                                      "umount2",
                                      "unshare",
                                      "userfaultfd",
                                      "vhangup"};

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

// Adds a rule for each name that this machine's kernel interface has. 0, or what libseccomp says.
template <size_t n>
int add_rules(scmp_filter_ctx context, uint32_t action, const char* const (&names)[n]) {
  for (const char* name : names) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) { continue; }
    if (const int code = seccomp_rule_add(context, action, number, 0); code != 0) { return code; }
  }
  return 0;
}

int add_all(scmp_filter_ctx context, const FilterOptions& options) {
  if (const int code = add_rules(context, SCMP_ACT_ALLOW, kAllowed); code != 0) { return code; }
  if (const int code = add_rules(context, SCMP_ACT_KILL_PROCESS, kForbidden); code != 0) { return code; }
  // Threads, but no processes. A filter cannot see the flags of clone3: libc falls back on clone.
  const int clone3 = seccomp_syscall_resolve_name("clone3");
  if (clone3 >= 0 && options.kill_unlisted) {  // otherwise it is what unlisted calls answer anyway
    if (const int code = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), clone3, 0); code != 0) { return code; }
  }
  constexpr uint64_t kThread = CLONE_THREAD | CLONE_VM;
  int code =
      seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, kThread, kThread));
  if (code != 0) { return code; }
  // Threads may be named.
  for (const uint64_t what : {uint64_t{PR_SET_NAME}, uint64_t{PR_GET_NAME}, uint64_t{PR_GET_DUMPABLE}}) {
    code = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, what));
    if (code != 0) { return code; }
  }
  // libc looks for a cache of user names and goes on without: an error, not death, whatever the default.
  if (!options.gpu) { return seccomp_rule_add(context, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 0); }
  code = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, uint64_t{AF_UNIX}));
  if (code != 0) { return code; }
  code = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, uint64_t{AF_UNIX}));
  return code != 0 ? code : add_rules(context, SCMP_ACT_ALLOW, kAllowedGpu);
}

}  // namespace

std::string filter_system_calls(const FilterOptions& options) {
  const Context context(seccomp_init(options.kill_unlisted ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS)));
  if (context == nullptr) { return "libseccomp does not know this machine"; }
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a tree instead of a list: a call costs less
  int code = add_all(context.get(), options);
  if (code == 0) { code = seccomp_load(context.get()); }
  return code == 0 ? std::string() : std::strerror(-code);
}

}  // namespace vortex::sandbox

#else

namespace vortex::sandbox {

std::string filter_system_calls(const FilterOptions&) { return "this program was built without libseccomp"; }

}  // namespace vortex::sandbox

#endif
