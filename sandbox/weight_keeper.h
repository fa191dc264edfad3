#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "job/job.h"
#include "sandbox/keeper_socket.h"
#include "sandbox/process_tree.h"

namespace vortex::sandbox {

// What a keeper has handed out: descriptors for a worker, and what they are (Job::kept).
struct KeptWeights {
  nlohmann::json label;
  std::vector<Descriptor> descriptors;
  int process = 0;     // the keeper's id
  Descriptor watched;  // the same as a pidfd, so that no successor of its id is meant; invalid where there is none
};

// While one of these lives the keeper stands still: it reads no prompts ahead beside what is being timed.
class Quiet {
 public:
  explicit Quiet(std::shared_ptr<const KeptWeights> kept);
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  std::shared_ptr<const KeptWeights> kept_;
};

struct WeightKeeperOptions {
  std::string worker_path;                            // the vortex-worker program
  std::string folder;                                 // that it works in
  std::vector<std::string> environment;               // the whole of it, as NAME=value
  double start_seconds = 900;                         // until weights and prompts are kept
  std::function<void(const std::string&)> on_notice;  // told of ends, restarts and failures
};

// Keeps a process that holds a model's weights and the KV of a task's prompts for the workers of a search. The process
// is started when they are first asked for, and again when it has died or the model's files have changed; after a few
// failures in a row it is left alone, and workers load the model themselves. Thread-safe.
class WeightKeeper {
 public:
  // `request` names model, device, and the tasks whose prompts are computed, at once and ahead.
  WeightKeeper(WeightKeeperOptions options, KeeperRequest request);
  ~WeightKeeper();

  // What is kept, for as long as the pointer is held. Null where nothing can be: on_notice has told why. Waits while
  // the keeper is starting; `should_stop` ends that.
  std::shared_ptr<const KeptWeights> kept(const std::function<bool()>& should_stop);

 private:
  bool lives() const VORTEX_REQUIRES(mutex_);
  Result<std::shared_ptr<const KeptWeights>> start(const std::function<bool()>& should_stop) VORTEX_REQUIRES(mutex_);
  void notice(const std::string& message) const;

  WeightKeeperOptions options_;
  KeeperRequest request_;
  Mutex mutex_;
  std::unique_ptr<ProcessTree> process_ VORTEX_GUARDED_BY(mutex_);
  Descriptor socket_ VORTEX_GUARDED_BY(mutex_);  // ours; when it closes, the keeper ends
  std::string files_ VORTEX_GUARDED_BY(mutex_);  // the model's, as they were when it was started
  std::shared_ptr<const KeptWeights> kept_ VORTEX_GUARDED_BY(mutex_);
  int failures_ VORTEX_GUARDED_BY(mutex_) = 0;  // in a row
};

}  // namespace vortex::sandbox
