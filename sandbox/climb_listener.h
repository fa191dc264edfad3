#pragma once

#include <functional>
#include <vector>

#include "job/stage.h"
#include "sandbox/evidence_check.h"
#include "sandbox/listener.h"

namespace vortex::sandbox {

// Wall-clock seconds that a stage may take of which the worker said that it should cost `planned`; see ExecutorOptions.
double stage_deadline(const ExecutorOptions& options, job::Stage stage, double planned);

// Follows one worker's climb.
class ClimbListener : public Listener {
 public:
  // `on_start`, where there is one, is told of every stage that begins.
  ClimbListener(const job::Job& job, const ExecutorOptions& options,
                const std::function<void(const job::StageResult&)>& on_result,
                std::function<void(job::Stage)> on_start = {});

  // All stages have their results, or one of them ended the climb.
  bool finished() const override { return finished_; }

  // Gives the stage that was left without a result one; for a climb that is not finished.
  void leave_unfinished(Ending ending, const Exit& exit, double now);

  std::vector<job::StageResult> take_results() { return std::move(results_); }

 private:
  void take_event(job::Event event, double now) override;
  double allowance() const override;
  Ending silence() const override { return running_ ? Ending::kDeadline : Ending::kSilent; }

  void start_stage(const job::StageStart& start, double now);
  void finish_stage(job::StageResult result, double now);
  void keep(job::StageResult result);
  // True, and the climb has ended, when the model's folder is not what it was.
  bool model_has_changed(job::Stage stage, double seconds);

  const std::function<void(const job::StageResult&)>& on_result_;
  std::function<void(job::Stage)> on_start_;
  EvidenceCheck check_;
  int sharers_;  // of its GPU: each may keep the others waiting for as long as a stage takes
  std::string model_path_;
  FolderState model_files_;
  std::vector<job::Stage> stages_;  // the worker's
  std::vector<job::StageResult> results_;
  double claimed_ = 0;    // seconds of the stages that ended, as the worker says
  double planned_ = 0;    // seconds of the stage that runs, as the worker says; 0: not planned
  bool running_ = false;  // stages_[results_.size()] has started, at since_
  bool finished_ = false;
};

}  // namespace vortex::sandbox
