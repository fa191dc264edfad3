#include "sandbox/executor.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/clock.h"
#include "job/protocol.h"
#include "sandbox/climb_listener.h"
#include "sandbox/generation_listener.h"
#include "sandbox/process_tree.h"
#include "sandbox/worker_slots.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFileBytes = int64_t{8} << 30;  // of a file that a worker writes, e.g. a prefix
constexpr int kMaxOpenFiles = 512;
constexpr int kPollMs = 100;

// A fresh folder, removed with everything in it.
class ScratchFolder {
 public:
  static Result<std::unique_ptr<ScratchFolder>> make(const std::string& root) {
    std::error_code ec;
    fs::create_directories(root, ec);
    std::string path = (fs::absolute(root, ec) / "worker-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) {
      return environment_error("cannot make a scratch folder below " + root + ": " + std::strerror(errno));
    }
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(path));
  }
  ~ScratchFolder() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  const std::string& path() const { return path_; }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// The worker works in its scratch folder, so what it is asked must not hold relative paths.
void make_absolute(std::string& path) {
  std::error_code ec;
  if (!path.empty()) path = fs::absolute(path, ec).string();
}

// A stricter jail (namespaces, seccomp) is a program that runs the worker: it goes in front of argv.
Launch launch_of(const ExecutorOptions& options, const std::string& scratch, const Place& place) {
  std::error_code ec;
  Launch launch;
  launch.argv = {fs::absolute(options.worker_path, ec).string()};
  launch.environment = worker_environment(scratch);
  if (!place.visible_gpus.empty()) launch.environment.push_back("CUDA_VISIBLE_DEVICES=" + place.visible_gpus);
  launch.cores = place.cores;
  if (place.kept != nullptr) {
    for (const Descriptor& descriptor : place.kept->descriptors) launch.descriptors.push_back(descriptor.get());
  }
  launch.folder = scratch;
  launch.memory_bytes = options.memory_bytes;
  launch.cpu_seconds = options.cpu_seconds;
  launch.file_bytes = kMaxFileBytes;
  launch.open_files = kMaxOpenFiles;
  return launch;
}

// Sends as much of `text` as fits; drops what is sent. False when the other end is gone.
bool send_some(int fd, std::string_view& text) {
  const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  if (sent > 0) text.remove_prefix(static_cast<size_t>(sent));
  return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

// Reads what is there and hands it to `take`: returns the bytes read, 0 at the end of the stream, below 0 for none yet.
template <typename Take>
ssize_t drain(int fd, const Take& take) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  if (got > 0) take(std::string_view(buffer.data(), static_cast<size_t>(got)));
  return got < 0 && errno != EAGAIN && errno != EINTR ? 0 : got;
}

// One worker from start to end.
class Conversation {
 public:
  Conversation(ProcessTree& tree, Listener& listener, const std::function<bool()>& should_stop,
               std::string_view request)
      : tree_(tree), listener_(listener), should_stop_(should_stop), unsent_(request) {}

  // Until all is said, the worker has ended or it must be killed; says why.
  Ending run() {
    while (true) {
      std::array<pollfd, 4> watched = {
          pollfd{output_open_ ? tree_.output() : -1, POLLIN, 0}, pollfd{error_open_ ? tree_.error() : -1, POLLIN, 0},
          pollfd{tree_.exited(), POLLIN, 0}, pollfd{unsent_.empty() ? -1 : tree_.input(), POLLOUT, 0}};
      ::poll(watched.data(), watched.size(), kPollMs);
      exchange(watched);
      if (const auto ending = listener_.overdue(monotonic_seconds())) return *ending;
      if (listener_.finished()) return Ending::kDied;  // nothing that it does from here on matters
      if (watched[2].revents != 0) return finish();
      if (should_stop_ && should_stop_()) return Ending::kStopped;
    }
  }

 private:
  void exchange(const std::array<pollfd, 4>& watched) {
    // The log first: a result takes along what was logged before it.
    if (watched[1].revents != 0) read_log();
    if (watched[0].revents != 0) read_output();
    if (watched[3].revents != 0 && !send_some(tree_.input(), unsent_)) unsent_ = {};
    if (unsent_.empty()) tree_.close_input();
  }

  ssize_t read_log() {
    const ssize_t got = drain(tree_.error(), [&](std::string_view bytes) { listener_.take_log(bytes); });
    error_open_ = got != 0;
    return got;
  }
  ssize_t read_output() {
    const ssize_t got =
        drain(tree_.output(), [&](std::string_view bytes) { listener_.take_output(bytes, monotonic_seconds()); });
    output_open_ = got != 0;
    return got;
  }

  // The tree has ended: reads what it left in the pipes.
  Ending finish() {
    while (error_open_ && read_log() > 0) {
    }
    while (output_open_ && !listener_.misbehaved() && read_output() > 0) {
    }
    return listener_.misbehaved() ? Ending::kProtocol : Ending::kDied;
  }

  ProcessTree& tree_;
  Listener& listener_;
  const std::function<bool()>& should_stop_;
  std::string_view unsent_;
  bool output_open_ = true;
  bool error_open_ = true;
};

// Why a worker that never said hello cannot be used.
Error not_started(const Listener& listener, Ending ending, const Exit& exit, const ExecutorOptions& options) {
  if (const auto& fault = listener.hello_fault()) {
    return environment_error(options.worker_path + " is no worker of ours: " + fault->message, fault->hint);
  }
  std::string how = "it said nothing";
  if (ending == Ending::kDied) {
    how = WIFSIGNALED(exit.wait_status) ? "killed by signal " + std::to_string(WTERMSIG(exit.wait_status))
                                        : "exit code " + std::to_string(WEXITSTATUS(exit.wait_status));
  } else if (listener.misbehaved()) {
    how = listener.protocol_fault();
  } else if (ending == Ending::kStopped) {
    how = "stopped on request";
  }
  const std::string log = listener.log_tail();
  return environment_error("the worker did not start: " + how + (log.empty() ? "" : "\n" + log),
                           "try " + options.worker_path + " --version");
}

// How a worker came to its end.
struct End {
  Ending ending = Ending::kDied;
  Exit exit;
  double seconds = 0;  // on the steady clock
};

// Starts a worker, sends it the request and hears it out. An Error: no worker could be started.
Result<End> hear_out(Listener& listener, const job::Request& request, const ExecutorOptions& options,
                     const Place& place, const std::function<bool()>& should_stop) {
  const std::string line = job::request_line(request);
  if (line.size() > job::kMaxLineBytes) return candidate_error("the job is larger than the protocol allows");
  VORTEX_ASSIGN(const auto scratch, ScratchFolder::make(options.scratch_root));
  VORTEX_ASSIGN(const auto tree, ProcessTree::start(launch_of(options, scratch->path(), place)));
  End end;
  end.ending = Conversation(*tree, listener, should_stop, line).run();
  end.seconds = monotonic_seconds();
  tree->end();
  VORTEX_ASSIGN(end.exit, tree->wait());
  if (!listener.said_hello()) return not_started(listener, end.ending, end.exit, options);
  return end;
}

}  // namespace

std::vector<std::string> worker_environment(const std::string& folder) {
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + folder, "OMP_NUM_THREADS=1",
          "OMP_WAIT_POLICY=passive"};
}

Status run_generation(job::GenerationJob job, const ExecutorOptions& options, const job::GenerationEvents& events,
                      const std::function<bool()>& should_stop) {
  make_absolute(job.model_path);
  GenerationListener listener(job, options, events, monotonic_seconds());
  VORTEX_ASSIGN(const End end, hear_out(listener, job, options, Place::anywhere(), should_stop));
  return listener.outcome(end.ending, end.exit);
}

Result<std::vector<job::StageResult>> run_job(const job::Job& job, const ExecutorOptions& options,
                                              const std::function<void(const job::StageResult&)>& on_result,
                                              const std::function<bool()>& should_stop) {
  job::Job sent = job;
  make_absolute(sent.model_path);
  make_absolute(sent.prefix_folder);
  const Place place = find_place(options.slots, sent, should_stop);  // may wait: no clock of the worker runs yet
  ClimbListener supervisor(job, options, on_result, monotonic_seconds());
  if (supervisor.finished()) return supervisor.take_results();  // no stage is a worker's
  VORTEX_ASSIGN(const End end, hear_out(supervisor, sent, options, place, should_stop));
  if (!supervisor.finished()) supervisor.leave_unfinished(end.ending, end.exit, end.seconds);
  return supervisor.take_results();
}

}  // namespace vortex::sandbox
