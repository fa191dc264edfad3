#include "sandbox/executor.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "job/protocol.h"
#include "sandbox/climb_listener.h"
#include "sandbox/folders.h"
#include "sandbox/generation_listener.h"
#include "sandbox/process_tree.h"
#include "sandbox/streams.h"
#include "sandbox/worker_slots.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFileBytes = int64_t{8} << 30;  // of a file that a worker writes, e.g. a prefix
constexpr int kMaxOpenFiles = 512;
constexpr double kMemoryShare = 0.9;   // of the machine's that a worker may use when nobody says how much
constexpr double kStillShare = 0.01;   // of the time that passed: less CPU time than this is none
constexpr double kMarkSeconds = 0.05;  // between two looks at the CPU time

std::string absolute(const std::string& path) {
  std::error_code ec;
  return fs::absolute(path, ec).lexically_normal().string();
}

// The worker works in its scratch folder, so what it is asked must not hold relative paths.
void make_absolute(std::string& path) {
  if (!path.empty()) { path = absolute(path); }
}

int64_t memory_of_machine() {
  return static_cast<int64_t>(kMemoryShare * static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
                              static_cast<double>(::sysconf(_SC_PAGESIZE)));
}

// What a worker is started for.
struct Work {
  job::Request request;
  std::string model_path;
  std::string cache_folder;  // empty: nothing is kept
  std::string device;
};

// What it may touch beside its scratch folder.
Premises premises_of(const Work& work, const std::string& worker, const std::string& scratch) {
  Premises premises;
  premises.scratch = scratch;
  premises.gpu = work.device != "cpu" && has_gpu();
  LoadedFrom loaded = loaded_from(worker);
  premises.loader = std::move(loaded.loader);
  premises.read_only = std::move(loaded.places);
  if (!work.model_path.empty()) {
    premises.read_only.push_back(work.model_path);
    for (std::string& target : link_targets(work.model_path)) {
      if (!target.starts_with(work.model_path + "/")) { premises.read_only.push_back(std::move(target)); }
    }
  }
  if (!work.cache_folder.empty()) { premises.writable.push_back(work.cache_folder); }
  return premises;
}

Launch launch_of(const ExecutorOptions& options, const Premises& premises, const JailSupport& support,
                 const Place& place) {
  Launch launch;
  launch.argv = {absolute(options.worker_path)};
  launch.environment = worker_environment(premises.scratch);
  if (place.visible_gpus) { launch.environment.push_back("CUDA_VISIBLE_DEVICES=" + *place.visible_gpus); }
  if (place.ranks > 1) { launch.environment.emplace_back("CUDA_MODULE_LOADING=EAGER"); }
  launch.cores = place.cores;
  if (place.kept != nullptr) {
    for (const Descriptor& descriptor : place.kept->descriptors) { launch.descriptors.push_back(descriptor.get()); }
  }
  if (place.turn.get() >= 0) { launch.descriptors.push_back(place.turn.get()); }
  // The driver's own cache would be cold every time: its folder ends with the worker.
  if (premises.gpu) { launch.environment.emplace_back("CUDA_CACHE_DISABLE=1"); }
  launch.folder = premises.scratch;
  if (!premises.gpu) {
    launch.memory_bytes = options.memory_bytes;  // CUDA reserves address space without end
  }
  launch.group_memory_bytes = options.memory_bytes > 0 ? options.memory_bytes : memory_of_machine();
  launch.cpu_seconds = options.cpu_seconds;
  launch.file_bytes = kMaxFileBytes;
  launch.open_files = kMaxOpenFiles;
  put_in_jail(launch, premises, options.jail, support);
  return launch;
}

// One worker from start to end.
class Conversation {
 public:
  Conversation(ProcessTree& tree, Listener& listener, const ExecutorOptions& options, const JailSupport& support,
               bool gpu, const std::function<bool()>& should_stop, std::string_view request)
      : tree_(tree),
        listener_(listener),
        options_(options),
        support_(support),
        gpu_(gpu),
        should_stop_(should_stop),
        streams_(
            tree, request, [this](std::string_view bytes) { take_output(bytes); },
            [this](std::string_view bytes) {
              spoke_ = true;
              listener_.take_log(bytes);
            }),
        mark_time_(monotonic_seconds()) {}

  // Until all is said, the worker has ended or it must be killed; says why.
  Ending run() {
    while (true) {
      const bool ended = streams_.exchange();
      mark_progress();
      if (!sandbox_.ok()) { return Ending::kStopped; }
      if (const auto ending = listener_.overdue(monotonic_seconds())) { return stood_still(*ending); }
      if (listener_.finished()) {
        return Ending::kDied;  // nothing that it does from here on matters
      }
      if (ended) { return finish(); }
      if (should_stop_ && should_stop_()) { return Ending::kStopped; }
    }
  }

  // Fails when a layer that is required does not hold.
  const Status& sandbox() const { return sandbox_; }

 private:
  // The walls are closed and reported before the worker can say a word.
  void take_output(std::string_view bytes) {
    if (!heard_) {
      heard_ = true;
      const std::vector<LayerReport> layers = complete_layers(tree_.layers(), options_.jail, support_);
      sandbox_ = check_required(layers, options_.jail);
      listener_.set_sandbox(layers_evidence(layers));
    }
    if (sandbox_.ok()) { listener_.take_output(bytes, monotonic_seconds()); }
  }

  // Notes how much CPU time the worker had used when it last got on.
  void mark_progress() {
    const double now = monotonic_seconds();
    if (listener_.since() == marked_since_ || now - mark_time_ < kMarkSeconds) { return; }
    marked_since_ = listener_.since();
    mark_time_ = now;
    mark_cpu_ = tree_.cpu_seconds();
    spoke_ = false;
  }

  // A worker that was too slow because somebody kept it from running is no candidate's fault: it is stopped, or it used
  // no CPU time, wants none and says nothing. One that waits for a GPU uses none either: there only being stopped
  // counts.
  Ending stood_still(Ending ending) const {
    if (ending != Ending::kDeadline && ending != Ending::kSilent) { return ending; }
    const std::string states = tree_.states();
    if (states.find_first_of("Tt") != std::string::npos) { return Ending::kStoodStill; }
    if (gpu_ || spoke_ || states.find_first_of("RD") != std::string::npos) { return ending; }
    const double passed = monotonic_seconds() - mark_time_;
    return tree_.cpu_seconds() - mark_cpu_ <= kStillShare * passed ? Ending::kStoodStill : ending;
  }

  // The tree has ended: reads what it left in the pipes.
  Ending finish() {
    streams_.finish([&] { return !listener_.misbehaved(); });
    return listener_.misbehaved() ? Ending::kProtocol : Ending::kDied;
  }

  ProcessTree& tree_;
  Listener& listener_;
  const ExecutorOptions& options_;
  const JailSupport& support_;
  const bool gpu_;
  const std::function<bool()>& should_stop_;
  Streams streams_;
  bool heard_ = false;
  Status sandbox_ = ok_status();
  double marked_since_ = -1;
  double mark_time_;
  double mark_cpu_ = 0;
  bool spoke_ = false;  // on its log, since then
};

// Why a worker that never said hello cannot be used.
Error not_started(const Listener& listener, Ending ending, const Exit& exit, const ExecutorOptions& options) {
  if (const auto& fault = listener.hello_fault()) {
    return environment_error(options.worker_path + " is no worker of ours: " + fault->message, fault->hint);
  }
  std::string how = "it said nothing for " + std::to_string(static_cast<int>(options.start_seconds)) + " s";
  if (!exit.start_fault.empty()) {
    how = exit.start_fault;
  } else if (ending == Ending::kDied && !exit.ended_itself) {
    how = "its sandbox could not be made";
  } else if (ending == Ending::kDied) {
    how = WIFSIGNALED(exit.wait_status) ? "killed by signal " + std::to_string(WTERMSIG(exit.wait_status))
                                        : "exit code " + std::to_string(WEXITSTATUS(exit.wait_status));
  } else if (listener.misbehaved()) {
    how = listener.protocol_fault();
  } else if (ending == Ending::kStopped) {
    how = "stopped on request";
  } else if (ending == Ending::kStoodStill) {
    how += " and used no CPU time: it was stopped, or the machine is overloaded";
  }
  const std::string log = listener.log_tail();
  return environment_error("the worker did not start: " + how + (log.empty() ? "" : "\n" + log),
                           "try " + options.worker_path + " --version, and `vortex doctor`");
}

// How a worker came to its end.
struct End {
  Ending ending = Ending::kDied;
  Exit exit;
  double seconds = 0;  // on the monotonic clock
};

// Starts a worker, sends it the request and hears it out. An Error: no worker could be started.
Result<End> hear_out(Listener& listener, const Work& work, const ExecutorOptions& options, const Place& place,
                     const std::function<bool()>& should_stop) {
  const std::string frame = job::request_frame(work.request);
  if (frame.size() > job::kMaxFrameBytes) { return candidate_error("the job is larger than the protocol allows"); }
  VORTEX_ASSIGN(const auto scratch, ScratchFolder::make(options.scratch_root));
  const JailSupport support = jail_support(options.jail);
  const Premises premises = premises_of(work, absolute(options.worker_path), scratch->path());
  VORTEX_ASSIGN(const auto tree, ProcessTree::start(launch_of(options, premises, support, place)));
  listener.start(monotonic_seconds());
  End end;
  Conversation conversation(*tree, listener, options, support, premises.gpu, should_stop, frame);
  end.ending = conversation.run();
  end.seconds = monotonic_seconds();
  tree->end();
  VORTEX_ASSIGN(end.exit, tree->wait());
  VORTEX_TRY(conversation.sandbox());
  if (!listener.said_hello()) { return not_started(listener, end.ending, end.exit, options); }
  return end;
}

// Caches are what a disk that fills up goes without first.
bool has_room_for_caches(const std::string& folder, int64_t wanted_bytes) {
  std::error_code ec;
  fs::create_directories(folder, ec);
  const fs::space_info space = fs::space(folder, ec);
  return ec || static_cast<int64_t>(space.available) >= wanted_bytes;
}

}  // namespace

std::vector<std::string> worker_environment(const std::string& folder) {
  return {"PATH=/usr/local/bin:/usr/bin:/bin",
          "LANG=C.UTF-8",
          "HOME=" + folder,
          "TMPDIR=" + folder,
          "OMP_NUM_THREADS=1",
          "OMP_WAIT_POLICY=passive"};
}

Status run_generation(job::GenerationJob job, const ExecutorOptions& options, const job::GenerationEvents& events,
                      const std::function<bool()>& should_stop) {
  make_absolute(job.model_path);
  GenerationListener listener(job, options, events);
  Place place = Place::anywhere();
  place.ranks = job.tensor_parallel;
  VORTEX_ASSIGN(const End end, hear_out(listener, {job, job.model_path, "", job.device}, options, place, should_stop));
  return listener.outcome(end.ending, end.exit);
}

Result<std::vector<job::StageResult>> run_job(const job::Job& job, const ExecutorOptions& options,
                                              const std::function<void(const job::StageResult&)>& on_result,
                                              const std::function<bool()>& should_stop) {
  job::Job sent = job;
  make_absolute(sent.model_path);
  make_absolute(sent.prefix_folder);
  if (!sent.prefix_folder.empty() && !has_room_for_caches(sent.prefix_folder, options.cache_reserve_bytes)) {
    sent.prefix_folder.clear();
  }
  const Place place = find_place(options.slots, sent, should_stop);  // may wait: no clock of the worker runs yet
  std::optional<Quiet> quiet;                                        // from the speed stage on
  ClimbListener listener(sent, options, on_result, [&](job::Stage stage) {
    if (stage == job::Stage::kSpeed) { quiet.emplace(place.kept); }
  });
  if (listener.finished()) {
    return listener.take_results();  // no stage is a worker's
  }
  const Work work{sent, sent.model_path, sent.prefix_folder, sent.device};
  VORTEX_ASSIGN(const End end, hear_out(listener, work, options, place, should_stop));
  if (!listener.finished()) { listener.leave_unfinished(end.ending, end.exit, end.seconds); }
  return listener.take_results();
}

}  // namespace vortex::sandbox
