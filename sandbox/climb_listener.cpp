#include "sandbox/climb_listener.h"

#include <algorithm>

#include "base/escape.h"
#include "base/text.h"
#include "job/protocol.h"

namespace vortex::sandbox {
namespace {

// Of a stage that the worker planned: so many times that and a bit, whatever it claims.
constexpr double kPlannedSlack = 10;
constexpr double kShortestDeadline = 60;
constexpr double kLongestDeadline = 86400;
constexpr size_t kMaxMessage = 4096;  // bytes of what a worker says of a stage

}  // namespace

double stage_deadline(const ExecutorOptions& options, job::Stage stage, double planned) {
  const auto own = options.deadlines.find(stage);
  if (own != options.deadlines.end()) { return own->second; }
  if (planned <= 0) { return job::stage_info(stage).deadline_seconds; }
  return std::min(kLongestDeadline, kShortestDeadline + kPlannedSlack * planned);
}

ClimbListener::ClimbListener(const job::Job& job, const ExecutorOptions& options,
                             const std::function<void(const job::StageResult&)>& on_result,
                             std::function<void(job::Stage)> on_start)
    : Listener(options, job::kMaxOutputBytes),
      on_result_(on_result),
      on_start_(std::move(on_start)),
      check_(job),
      sharers_(job.turn_descriptor >= 0 ? job.device_sharers : 1),
      model_path_(job.model_path),
      model_files_(options.model_files.empty() ? look_at_folder(job.model_path) : options.model_files) {
  for (const job::Stage stage : job.stages) {
    if (job::stage_info(stage).in_worker) { stages_.push_back(stage); }
  }
  finished_ = stages_.empty();
}

void ClimbListener::take_event(job::Event event, double now) {
  if (const auto* start = std::get_if<job::StageStart>(&event)) { return start_stage(*start, now); }
  if (auto* result = std::get_if<job::StageResult>(&event)) { return finish_stage(std::move(*result), now); }
  fault("it answered what it was not asked");
}

void ClimbListener::start_stage(const job::StageStart& start, double now) {
  if (running_ || start.stage != stages_[results_.size()]) {
    return fault("it started " + std::string(job::stage_name(start.stage)) + " out of turn");
  }
  if (model_has_changed(start.stage, 0)) { return; }
  running_ = true;
  planned_ = start.planned;
  since_ = now;
  if (on_start_) { on_start_(start.stage); }
}

void ClimbListener::finish_stage(job::StageResult result, double now) {
  const std::string name(job::stage_name(result.stage));
  if (!running_ || result.stage != stages_[results_.size()]) { return fault("it reported " + name + " out of turn"); }
  if (model_has_changed(result.stage, now - since_)) { return; }
  // When we were stopped for a while its stage may have started before we read so; not before it was through with the
  // earlier ones.
  const double most = now - started_ - claimed_;
  if (const std::string doubt = check_.fault(result, build(), most); !doubt.empty()) {
    return fault("its result of " + name + " " + doubt);
  }
  claimed_ += std::max(0.0, result.seconds);
  if (!sandbox_.is_null()) { result.evidence["sandbox"] = sandbox_; }
  result.message = terminal_text(clipped_middle(result.message, kMaxMessage));
  result.log_tail = log_tail();
  running_ = false;
  since_ = now;
  finished_ = result.verdict != job::Verdict::kPass || results_.size() + 1 == stages_.size();
  keep(std::move(result));
}

void ClimbListener::keep(job::StageResult result) {
  results_.push_back(std::move(result));
  if (on_result_) { on_result_(results_.back()); }
}

double ClimbListener::allowance() const {
  const double alone = running_ ? stage_deadline(options_, stages_[results_.size()], planned_) : options_.idle_seconds;
  return sharers_ * alone;
}

bool ClimbListener::model_has_changed(job::Stage stage, double seconds) {
  const std::string difference = folder_difference(model_files_, look_at_folder(model_path_));
  if (difference.empty()) { return false; }
  job::StageResult result;
  result.stage = stage;
  result.verdict = job::Verdict::kError;
  result.blame = Blame::kEnvironment;
  result.message = "the model changed while it was in use: " + difference + " in " + model_path_;
  result.seconds = seconds;
  result.evidence = {{"measured", false}, {"model_changed", difference}};
  result.log_tail = log_tail();
  running_ = false;
  finished_ = true;
  keep(std::move(result));
  return true;
}

void ClimbListener::leave_unfinished(Ending ending, const Exit& exit, double now) {
  // A worker that dies of a file that was cut short under it is not to blame for it.
  if (model_has_changed(stages_[results_.size()], running_ ? std::max(0.0, now - since_) : 0.0)) { return; }
  const std::string detail = ending == Ending::kDeadline ? format_number(allowance()) + " s" : protocol_fault();
  job::StageResult result =
      unfinished_result(stages_[results_.size()], ending, exit, {options_.memory_bytes, options_.cpu_seconds}, detail);
  if (!sandbox_.is_null()) { result.evidence["sandbox"] = sandbox_; }
  result.seconds = running_ ? std::max(0.0, now - since_) : 0.0;
  if (running_ && planned_ > 0) { result.evidence["planned_seconds"] = planned_; }
  result.log_tail = log_tail();
  running_ = false;
  finished_ = true;
  keep(std::move(result));
}

}  // namespace vortex::sandbox
