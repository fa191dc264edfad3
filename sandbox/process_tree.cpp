#include "sandbox/process_tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "sandbox/keeper/record.h"
#include "sandbox/spawn.h"

namespace vortex::sandbox {
namespace {

void close_fd(int& fd) {
  if (fd >= 0) { ::close(fd); }
  fd = -1;
}

// Above the standard streams, even where somebody started us without them.
int above_streams(int fd) {
  if (fd < 0 || fd > 2) { return fd; }
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  ::close(fd);
  return moved;
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
    return ::pipe2(ends, O_CLOEXEC) == 0 && take_ends(ends);
  }
  bool open_socket() {
    int ends[2];
    return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 && take_ends(ends);
  }
  bool take_ends(const int (&ends)[2]) {
    read = above_streams(ends[0]);
    write = above_streams(ends[1]);
    return read >= 0 && write >= 0;
  }
  static int take(int& fd) {
    const int taken = fd;
    fd = -1;
    return taken;
  }
};

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

std::string with_report(const std::string& word, int report) {
  constexpr std::string_view kPlace = "@report";
  const size_t at = word.find(kPlace);
  if (at == std::string::npos) { return word; }
  return std::string(word).replace(at, kPlace.size(), std::to_string(report));
}

std::string joined(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) { text += (text.empty() ? "" : ",") + std::to_string(number); }
  return text;
}

std::vector<std::string> keeper_arguments(const Launch& launch, int leash, int status, int report) {
  static std::atomic<int> count = 0;
  std::vector<std::string> words = {"keep", "leash=" + std::to_string(leash), "status=" + std::to_string(status),
                                    "report=" + std::to_string(report)};
  const auto add = [&](const char* key, int64_t value) {
    if (value > 0) { words.push_back(key + ("=" + std::to_string(value))); }
  };
  add("as", launch.memory_bytes);
  add("cpu", launch.cpu_seconds > 0 ? static_cast<int64_t>(std::max(1.0, std::ceil(launch.cpu_seconds))) : 0);
  add("fsize", launch.file_bytes);
  add("nofile", launch.open_files);
  add("launcher", launch.launcher ? 1 : 0);
  add("privileges", launch.new_privileges ? 1 : 0);
  if (launch.cgroup) {
    words.push_back("cgroup=vortex-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
    add("memory", launch.group_memory_bytes);
    add("processes", launch.group_processes);
  }
  if (!launch.cores.empty()) { words.push_back("cores=" + joined(launch.cores)); }
  if (!launch.descriptors.empty()) { words.push_back("inherit=" + joined(launch.descriptors)); }
  words.emplace_back("--");
  for (const std::string& word : launch.argv) { words.push_back(launch.launcher ? with_report(word, report) : word); }
  return words;
}

// Calls `look` with the fields of /proc/PID/stat behind the name, state first, for every process below `root`.
void walk_tree(pid_t root, const std::function<void(std::istringstream&)>& look) {
  std::vector<pid_t> waiting = {root};
  while (!waiting.empty()) {
    const std::string folder = "/proc/" + std::to_string(waiting.back());
    waiting.pop_back();
    std::ifstream stat(folder + "/stat");
    std::string line;
    std::getline(stat, line);
    const size_t name_end = line.rfind(") ");
    if (name_end != std::string::npos) {
      std::istringstream fields(line.substr(name_end + 2));
      look(fields);
    }
    std::error_code ec;
    for (const auto& task : std::filesystem::directory_iterator(folder + "/task", ec)) {
      std::ifstream children(task.path() / "children");
      for (pid_t child = 0; children >> child;) { waiting.push_back(child); }
    }
  }
}

}  // namespace

std::string keeper_path() {
  std::error_code ec;
  return (std::filesystem::read_symlink("/proc/self/exe", ec).parent_path() / "vortex-keeper").string();
}

Result<std::unique_ptr<ProcessTree>> ProcessTree::start(const Launch& launch) {
  if (launch.argv.empty() || launch.argv.front().empty()) {
    return internal_error("a program without a name was to be started");
  }
  Pipe input;
  Pipe output;
  Pipe error;
  Pipe status;
  Pipe report;
  Pipe leash;
  if (!input.open_socket() || !output.open() || !error.open() || !status.open() || !report.open() || !leash.open()) {
    return environment_error("cannot start " + launch.argv.front() + ": " + std::strerror(errno));
  }
  Spawn spawned;
  spawned.program = keeper_path();
  spawned.arguments = keeper_arguments(launch, leash.read, status.write, report.write);
  spawned.environment = launch.environment;
  spawned.folder = launch.folder;
  spawned.streams = {input.read, output.write, error.write};
  spawned.descriptors = launch.descriptors;
  for (const int fd : {leash.read, status.write, report.write}) { spawned.descriptors.push_back(fd); }
  VORTEX_ASSIGN(const pid_t keeper, spawn(spawned));

  std::unique_ptr<ProcessTree> tree(new ProcessTree);
  tree->keeper_ = keeper;
  tree->launcher_ = launch.launcher;
  tree->input_ = Pipe::take(input.write);
  tree->output_ = Pipe::take(output.read);
  tree->error_ = Pipe::take(error.read);
  tree->status_ = Pipe::take(status.read);
  tree->report_ = Pipe::take(report.read);
  tree->leash_ = Pipe::take(leash.write);
  for (const int fd : {tree->input_, tree->output_, tree->error_, tree->report_}) { make_nonblocking(fd); }
  return tree;
}

ProcessTree::~ProcessTree() {
  end();
  if (keeper_ > 0) { (void)wait(); }
  for (int* fd : {&input_, &output_, &error_, &status_, &report_}) { close_fd(*fd); }
}

void ProcessTree::close_input() { close_fd(input_); }

void ProcessTree::end() { close_fd(leash_); }

void ProcessTree::read_reports() {
  Record record;
  while (::read(report_, &record, sizeof record) == static_cast<ssize_t>(sizeof record)) {
    record.text.back() = '\0';
    switch (record.kind) {
      case Record::Kind::kLayer: {
        const auto known = std::find_if(layers_.begin(), layers_.end(),
                                        [&](const LayerReport& layer) { return layer.layer == record.layer; });
        LayerReport& layer = known != layers_.end() ? *known : layers_.emplace_back();
        layer = {record.layer, record.state, record.text.data()};
        break;
      }
      case Record::Kind::kStartFault:
        start_fault_ = record.text.data();
        if (record.number != 0) { start_fault_ += std::string(": ") + std::strerror(record.number); }
        break;
      case Record::Kind::kEnded:
        program_ended_ = true;
        program_status_ = record.number;
        break;
      case Record::Kind::kGone:
        break;
    }
  }
}

const std::vector<LayerReport>& ProcessTree::layers() {
  read_reports();
  return layers_;
}

Result<Exit> ProcessTree::wait() {
  Record record;
  ssize_t got = 0;
  while ((got = ::read(status_, &record, sizeof record)) < 0 && errno == EINTR) {}
  wait_for_child(keeper_);
  keeper_ = -1;
  if (got != static_cast<ssize_t>(sizeof record)) {
    return environment_error("the keeper of a worker was killed: its processes may live on");
  }
  read_reports();
  Exit exit;
  exit.peak_bytes = record.peak_bytes;
  exit.cpu_seconds = record.cpu_seconds;
  exit.tree_gone = record.tree_gone != 0;
  exit.memory_kills = record.memory_kills;
  exit.left_bytes = record.left_bytes;
  exit.start_fault = start_fault_;
  exit.ended_itself = !launcher_ || program_ended_;
  exit.wait_status = !launcher_ ? record.number : program_ended_ ? program_status_ : SIGKILL;
  return exit;
}

double ProcessTree::cpu_seconds() const {
  double ticks = 0;
  walk_tree(keeper_, [&](std::istringstream& fields) {
    std::string skipped;
    for (int i = 0; i < 11; ++i) {
      fields >> skipped;  // from state to cmajflt
    }
    double user = 0;
    double system = 0;
    double child_user = 0;
    double child_system = 0;
    fields >> user >> system >> child_user >> child_system;
    ticks += user + system + child_user + child_system;
  });
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::string ProcessTree::states() const {
  std::string states;
  walk_tree(keeper_, [&](std::istringstream& fields) {
    char state = ' ';
    fields >> state;
    states += state;
  });
  return states;
}

}  // namespace vortex::sandbox
