#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/depot.h"
#include "fleet/setup.h"
#include "job/job.h"
#include "job/stage.h"
#include "sandbox/executor.h"
#include "sandbox/folders.h"
#include "sandbox/worker_slots.h"

namespace vortex::fleet {

// Where a worker's tasks are done. Called by one thread.
class Workshop {
 public:
  virtual ~Workshop() = default;

  // Before the first task of a search, and again after every loss of the connection.
  virtual Status prepare(const Setup& setup, const FetchPiece& fetch, const std::function<bool()>& should_stop) = 0;
  // As sandbox::run_job.
  virtual Result<std::vector<job::StageResult>> run(const job::Job& job,
                                                    const std::function<void(const job::StageResult&)>& on_result,
                                                    const std::function<bool()>& should_stop) = 0;
};

// On this machine: a jailed process for each task, as a search has them at home, with a keeper beside it.
class LocalWorkshop : public Workshop {
 public:
  struct Options {
    std::string worker_path;
    std::string folder;  // models, prompts and scratch; several workers of a machine may share it
    sandbox::JailOptions jail;
    std::function<void(const std::string&)> on_notice;
  };
  explicit LocalWorkshop(Options options) : options_(std::move(options)) {}

  Status prepare(const Setup& setup, const FetchPiece& fetch, const std::function<bool()>& should_stop) override;
  Result<std::vector<job::StageResult>> run(const job::Job& job,
                                            const std::function<void(const job::StageResult&)>& on_result,
                                            const std::function<bool()>& should_stop) override;

 private:
  Status make_executor(const Setup& setup);
  job::Job at_home(job::Job job) const;

  Options options_;
  std::string prepared_;  // the setup, as text
  std::string model_;     // its folder here
  sandbox::ExecutorOptions executor_;
  std::unique_ptr<sandbox::ScratchFolder> keeper_folder_;  // goes after its keeper; those of the dead are swept
  std::unique_ptr<sandbox::WorkerSlots> slots_;
};

}  // namespace vortex::fleet
