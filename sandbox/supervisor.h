#pragma once

#include <functional>
#include <vector>

#include "evals/stage.h"
#include "sandbox/listener.h"

namespace vortex::sandbox {

// Follows one worker's climb.
class Supervisor : public Listener {
 public:
  Supervisor(const evals::Job& job, const ExecutorOptions& options,
             const std::function<void(const evals::StageResult&)>& on_result, double now);

  // All stages have their results, or one of them ended the climb.
  bool finished() const override { return finished_; }

  // Gives the stage that was left without a result one; for a climb that is not finished.
  void leave_unfinished(Ending ending, const Exit& exit, double now);

  std::vector<evals::StageResult> take_results() { return std::move(results_); }

 private:
  void take_event(Event event, double now) override;
  double allowance() const override;
  Ending silence() const override { return running_ ? Ending::kDeadline : Ending::kSilent; }

  void start_stage(evals::Stage stage, double now);
  void finish_stage(evals::StageResult result, double now);
  void keep(evals::StageResult result);

  const std::function<void(const evals::StageResult&)>& on_result_;
  std::vector<evals::Stage> stages_;  // the worker's
  std::vector<evals::StageResult> results_;
  bool running_ = false;  // stages_[results_.size()] has started, at since_
  bool finished_ = false;
};

}  // namespace vortex::sandbox
