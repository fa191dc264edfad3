// A worker that does what it must not, for jail_test: says hello as a real one does, reads from the job which deed to
// do (the job's id) on what (its module text), does it, and reports how that went: a pass when it got through, a
// failure "held: why" when something stopped it. What kills it leaves no report, of course.

#include <fcntl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "job/frame.h"
#include "job/protocol.h"

namespace vortex::job {
namespace {

constexpr size_t kMebibyte = size_t{1} << 20;

// 0 or more of a system call: it got through. Below 0: what stopped it.
std::string outcome(long code) { return code >= 0 ? std::string() : std::strerror(errno); }

std::string open_file(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags, 0644);
  if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY) { return outcome(::write(fd, "x", 1)); }
  return outcome(fd);
}

template <typename Address>
std::string reach(int family, int type, const Address& address, socklen_t size) {
  const int fd = ::socket(family, type, 0);
  if (fd < 0) { return outcome(fd); }
  const auto* place = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(fd, place, size) != 0) { return outcome(-1); }
  if (::send(fd, "hello", 5, MSG_NOSIGNAL) < 0) { return outcome(-1); }
  ::usleep(20'000);  // where nobody listens for datagrams the second one is told
  return outcome(::send(fd, "hello", 5, MSG_NOSIGNAL));
}

std::string reach_port(int type, const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return reach(AF_INET, type, address, sizeof address);
}

std::string reach_local(const std::string& name, bool abstract) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + (abstract ? 1 : 0), name.c_str(), name.size());
  const auto size = offsetof(sockaddr_un, sun_path) + name.size() + 1;
  return reach(AF_UNIX, SOCK_STREAM, address, static_cast<socklen_t>(size));
}

std::string fork_once() {
  const pid_t child = ::fork();
  if (child == 0) { ::_exit(0); }
  if (child > 0) { ::waitpid(child, nullptr, 0); }
  return outcome(child);
}

// A chain of processes, each of which starts the next in a session of its own and ends: whoever kills one by one comes
// too late.
std::string fork_chain() {
  const pid_t first = ::fork();
  if (first < 0) { return outcome(first); }
  if (first > 0) {
    for (;;) { ::sleep(3600); }
  }
  for (int link = 0; link < 3000; ++link) {
    ::setsid();
    ::usleep(20'000);
    const pid_t next = ::fork();
    if (next < 0) { ::_exit(1); }
    if (next > 0) { ::_exit(0); }
  }
  ::_exit(0);
}

std::string allocate(size_t mebibytes) {
  void* memory = ::mmap(nullptr, mebibytes * kMebibyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) { return outcome(-1); }
  for (size_t at = 0; at < mebibytes * kMebibyte; at += 4096) { static_cast<volatile char*>(memory)[at] = 1; }
  return {};
}

std::string fill_file(const std::string& path, size_t mebibytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) { return outcome(fd); }
  const std::vector<char> block(kMebibyte, 'x');
  for (size_t i = 0; i < mebibytes; ++i) {
    const ssize_t written = ::write(fd, block.data(), block.size());
    if (written < 0) { return outcome(-1); }
    if (written < static_cast<ssize_t>(block.size())) { return "a short write"; }
  }
  return {};
}

std::string start_threads(int count) {
  static std::vector<std::thread> threads;
  try {
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([] { std::this_thread::sleep_for(std::chrono::hours(1)); });
    }
  } catch (const std::system_error& error) { return error.what(); }
  return {};
}

std::string open_many(int count) {
  for (int i = 0; i < count; ++i) {
    if (::open("/dev/null", O_RDONLY) < 0) { return outcome(-1); }
  }
  return {};
}

std::string look_for_descriptors() {
  for (int fd = 3; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) { return {}; }
  }
  return "none";
}

[[noreturn]] void crash() {
  volatile int* nowhere = nullptr;
  *nowhere = 1;
  std::abort();
}

void write_raw(const std::string& text) {
  for (std::string_view left = text; !left.empty();) {
    const ssize_t written = ::write(STDOUT_FILENO, left.data(), left.size());
    if (written <= 0) { return; }
    left.remove_prefix(static_cast<size_t>(written));
  }
}

using Deed = std::function<std::string(const std::string&)>;

const std::map<std::string, Deed>& deeds() {
  static const std::map<std::string, Deed> all = {
      {"nothing", [](const std::string&) { return std::string("nothing was done"); }},
      {"read", [](const std::string& path) { return open_file(path, O_RDONLY); }},
      {"write", [](const std::string& path) { return open_file(path, O_WRONLY); }},
      {"create", [](const std::string& path) { return open_file(path, O_WRONLY | O_CREAT); }},
      {"open for writing", [](const std::string& path) { return outcome(::open(path.c_str(), O_WRONLY)); }},
      {"list", [](const std::string& path) { return open_file(path, O_RDONLY | O_DIRECTORY); }},
      {"look for",
       [](const std::string& path) {
         struct stat about {};
         return outcome(::stat(path.c_str(), &about));
       }},
      {"execute",
       [](const std::string& path) {
         std::array<char*, 2> words = {const_cast<char*>(path.c_str()), nullptr};
         return outcome(::execv(path.c_str(), words.data()));
       }},
      {"variable", [](const std::string& name) { return std::getenv(name.c_str()) != nullptr ? "" : "not set"; }},
      {"descriptors", [](const std::string&) { return look_for_descriptors(); }},
      {"udp", [](const std::string& port) { return reach_port(SOCK_DGRAM, port); }},
      {"tcp", [](const std::string& port) { return reach_port(SOCK_STREAM, port); }},
      {"local socket", [](const std::string& path) { return reach_local(path, false); }},
      {"abstract socket", [](const std::string& name) { return reach_local(name, true); }},
      {"signal", [](const std::string& pid) { return outcome(::kill(std::stoi(pid), SIGURG)); }},
      {"trace",
       [](const std::string& pid) { return outcome(::ptrace(PTRACE_SEIZE, std::stoi(pid), nullptr, nullptr)); }},
      {"read memory",
       [](const std::string& pid) {
         char byte = 0;
         const iovec here{&byte, 1};
         const iovec there{const_cast<char*>("x"), 1};
         return outcome(::process_vm_readv(std::stoi(pid), &here, 1, &there, 1, 0));
       }},
      {"user namespace", [](const std::string&) { return outcome(::unshare(CLONE_NEWUSER)); }},
      {"mount", [](const std::string& path) { return outcome(::mount("none", path.c_str(), "tmpfs", 0, nullptr)); }},
      {"bpf", [](const std::string&) { return outcome(::syscall(SYS_bpf, 0, nullptr, 0)); }},
      {"io_uring",
       [](const std::string&) {
         std::array<char, 256> parameters{};
         return outcome(::syscall(SYS_io_uring_setup, 8, parameters.data()));
       }},
      {"userfaultfd", [](const std::string&) { return outcome(::syscall(SYS_userfaultfd, 1)); }},
      {"keyring", [](const std::string&) { return outcome(::syscall(SYS_keyctl, 0, -4, 1)); }},
      {"perf",
       [](const std::string&) {
         perf_event_attr what{};
         what.size = sizeof what;
         what.type = PERF_TYPE_SOFTWARE;
         what.config = PERF_COUNT_SW_CPU_CLOCK;
         what.exclude_kernel = 1;
         return outcome(::syscall(SYS_perf_event_open, &what, 0, -1, -1, 0));
       }},
      {"fork", [](const std::string&) { return fork_once(); }},
      {"fork chain", [](const std::string&) { return fork_chain(); }},
      {"threads", [](const std::string& count) { return start_threads(std::stoi(count)); }},
      {"allocate", [](const std::string& mebibytes) { return allocate(std::stoul(mebibytes)); }},
      {"fill scratch", [](const std::string& mebibytes) { return fill_file("filled", std::stoul(mebibytes)); }},
      {"sparse file",
       [](const std::string& path) {
         const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0644);
         return fd < 0 ? outcome(fd) : outcome(::ftruncate(fd, off_t{9} << 30));
       }},
      {"open many", [](const std::string& count) { return open_many(std::stoi(count)); }},
      {"raise limits",
       [](const std::string&) {
         const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
         return outcome(::setrlimit(RLIMIT_FSIZE, &none));
       }},
      {"crash", [](const std::string&) -> std::string { crash(); }},
      {"abort", [](const std::string&) -> std::string { std::abort(); }},
      {"spin",
       [](const std::string&) -> std::string {
         for (volatile unsigned turns = 0;;) { turns = turns + 1; }
       }},
      {"sleep",
       [](const std::string&) -> std::string {
         for (;;) { ::sleep(3600); }
       }},
      {"stop",
       [](const std::string&) {
         ::raise(SIGSTOP);
         return std::string("went on");
       }},
      {"leave", [](const std::string&) -> std::string { ::_exit(0); }},
      {"say",
       [](const std::string& bytes) {
         write_raw(bytes);
         ::usleep(200'000);
         return std::string("was heard out");
       }},
      {"flood",
       [](const std::string& line) -> std::string {
         for (;;) { write_raw(line); }
       }},
      {"flood log",
       [](const std::string&) -> std::string {
         for (;;) { std::fputs("the same again and again\n", stderr); }
       }},
      {"take over the log",
       [](const std::string&) {
         ::dup2(STDERR_FILENO, STDOUT_FILENO);
         return std::string("nobody hears it");
       }},
  };
  return all;
}

std::string read_request() {
  FrameReader frames;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got <= 0) { std::exit(3); }
    std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    auto payload = frames.take(bytes);
    if (!payload.ok()) { std::exit(4); }
    if (*payload) { return **payload; }
  }
}

// Evidence as a real worker gives it.
nlohmann::json evidence(const Job& job) {
  return {{"build_id", "hostile"}, {"model_hash", std::string(64, 'a')},
          {"dense", job.dense},    {"threads", job.threads},
          {"batch", job.batch},    {"device", "cpu"},
          {"policy_key", "key"},   {"program_hash", "program"}};
}

int work() {
  write_raw(event_frame(Hello{kProtocolVersion, "hostile"}));
  const auto request = parse_request(read_request());
  if (!request.ok()) { return 5; }
  const Job& job = std::get<Job>(*request);
  write_raw(event_frame(StageStart{job.stages.front()}));
  const auto deed = deeds().find(job.id);
  const std::string held = deed == deeds().end() ? "no such deed" : deed->second(job.module_text);
  StageResult result;
  result.stage = job.stages.front();
  result.verdict = held.empty() ? Verdict::kPass : Verdict::kFail;
  if (!held.empty()) { result.blame = Blame::kCandidate; }
  if (!held.empty()) { result.message = "held: " + held; }
  result.evidence = evidence(job);
  write_raw(event_frame(result));
  // Threads that wait for ever are nobody's to join.
  ::_exit(0);
}

}  // namespace
}  // namespace vortex::job

int main() { return vortex::job::work(); }
