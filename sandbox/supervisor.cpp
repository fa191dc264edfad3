#include "sandbox/supervisor.h"

#include <algorithm>

#include "core/base/text.h"
#include "sandbox/protocol.h"

namespace vortex::sandbox {
namespace {

constexpr double kDefaultDeadline = 600;

}  // namespace

Supervisor::Supervisor(const evals::Job& job, const ExecutorOptions& options,
                       const std::function<void(const evals::StageResult&)>& on_result, double now)
    : Listener(options, kMaxOutputBytes, now), on_result_(on_result) {
  for (const evals::Stage stage : job.stages) {
    if (stage != evals::Stage::kCheck && stage != evals::Stage::kNovelty) stages_.push_back(stage);
  }
  finished_ = stages_.empty();
}

void Supervisor::take_event(Event event, double now) {
  if (const auto* start = std::get_if<StageStart>(&event)) return start_stage(start->stage, now);
  if (auto* result = std::get_if<evals::StageResult>(&event)) return finish_stage(std::move(*result), now);
  fault("it answered what it was not asked");
}

void Supervisor::start_stage(evals::Stage stage, double now) {
  if (running_ || stage != stages_[results_.size()]) {
    return fault("it started " + std::string(evals::stage_name(stage)) + " out of turn");
  }
  running_ = true;
  since_ = now;
}

void Supervisor::finish_stage(evals::StageResult result, double now) {
  const std::string name(evals::stage_name(result.stage));
  if (!running_ || result.stage != stages_[results_.size()]) return fault("it reported " + name + " out of turn");
  if (result.evidence.empty()) return fault("its result of " + name + " has no evidence");
  result.message = printable(result.message);
  result.log_tail = log_tail();
  running_ = false;
  since_ = now;
  finished_ = result.verdict != evals::Verdict::kPass || results_.size() + 1 == stages_.size();
  keep(std::move(result));
}

void Supervisor::keep(evals::StageResult result) {
  results_.push_back(std::move(result));
  if (on_result_) on_result_(results_.back());
}

double Supervisor::allowance() const {
  if (!running_) return options_.idle_seconds;
  const auto own = options_.deadlines.find(stages_[results_.size()]);
  return own == options_.deadlines.end() ? kDefaultDeadline : own->second;
}

void Supervisor::leave_unfinished(Ending ending, const Exit& exit, double now) {
  const std::string detail = ending == Ending::kDeadline ? format_number(allowance()) + " s" : protocol_fault();
  evals::StageResult result =
      unfinished_result(stages_[results_.size()], ending, exit, options_.memory_bytes, options_.cpu_seconds, detail);
  result.seconds = running_ ? std::max(0.0, now - since_) : 0.0;
  result.log_tail = log_tail();
  running_ = false;
  finished_ = true;
  keep(std::move(result));
}

}  // namespace vortex::sandbox
