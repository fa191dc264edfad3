#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evals/stage.h"
#include "sandbox/executor.h"
#include "sandbox/verdict.h"

namespace vortex::sandbox {

// Follows one worker's climb: takes the bytes that it writes, knows what it may say next and until when. Knows nothing
// of processes; times are seconds on any steady clock.
class Supervisor {
 public:
  Supervisor(const evals::Job& job, const ExecutorOptions& options,
             const std::function<void(const evals::StageResult&)>& on_result, double now);

  void take_output(std::string_view bytes, double now);
  void take_log(std::string_view bytes);

  // Why the worker must be killed now, if it must.
  std::optional<Ending> overdue(double now) const;
  bool misbehaved() const { return !protocol_fault_.empty(); }
  bool said_hello() const { return said_hello_; }
  // All stages have their results, or one of them ended the climb.
  bool finished() const { return finished_; }

  // Gives the stage that was left without a result one; for a climb that is not finished.
  void leave_unfinished(Ending ending, const Exit& exit, double now);

  std::string log_tail() const;
  const std::string& protocol_fault() const { return protocol_fault_; }
  const std::optional<Error>& hello_fault() const { return hello_fault_; }
  std::vector<evals::StageResult> take_results() { return std::move(results_); }

 private:
  void take_line(std::string_view line, double now);
  void start_stage(evals::Stage stage, double now);
  void finish_stage(evals::StageResult result, double now);
  void keep(evals::StageResult result);
  void fault(const std::string& what);
  double allowance() const;

  const ExecutorOptions& options_;
  const std::function<void(const evals::StageResult&)>& on_result_;
  std::vector<evals::Stage> stages_;  // the worker's
  std::vector<evals::StageResult> results_;
  bool said_hello_ = false;
  bool running_ = false;  // stages_[results_.size()] has started
  bool finished_ = false;
  double since_ = 0;  // start of the running stage, or of the wait for the next event
  std::string line_;  // not yet ended
  size_t output_bytes_ = 0;
  std::string log_;
  std::string protocol_fault_;
  std::optional<Error> hello_fault_;
};

}  // namespace vortex::sandbox
