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
    : options_(options), on_result_(on_result), since_(now) {
  for (const evals::Stage stage : job.stages) {
    if (stage != evals::Stage::kCheck && stage != evals::Stage::kNovelty) stages_.push_back(stage);
  }
  finished_ = stages_.empty();
}

void Supervisor::take_output(std::string_view bytes, double now) {
  output_bytes_ += bytes.size();
  if (output_bytes_ > kMaxOutputBytes) return fault("more output than the protocol allows");
  while (!bytes.empty() && !misbehaved()) {
    const size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (line_.size() > kMaxLineBytes) return fault("a line is longer than the protocol allows");
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    take_line(line_, now);
    line_.clear();
  }
}

void Supervisor::take_log(std::string_view bytes) {
  log_ += bytes;
  if (log_.size() > 2 * kLogTailBytes) log_.erase(0, log_.size() - kLogTailBytes);
}

void Supervisor::take_line(std::string_view line, double now) {
  Result<Event> event = parse_event(line);
  if (!event.ok()) {
    if (!said_hello_) hello_fault_ = event.error();
    return fault(event.error().message);
  }
  if (std::holds_alternative<Hello>(*event)) {
    if (said_hello_) return fault("it said hello twice");
    said_hello_ = true;
    since_ = now;
  } else if (!said_hello_) {
    fault("it did not say hello first");
  } else if (finished_) {
    return;  // nothing that it says from here on matters
  } else if (const auto* start = std::get_if<StageStart>(&*event)) {
    start_stage(start->stage, now);
  } else {
    finish_stage(std::get<evals::StageResult>(*std::move(event)), now);
  }
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

void Supervisor::fault(const std::string& what) { protocol_fault_ = what; }

double Supervisor::allowance() const {
  if (!said_hello_) return options_.start_seconds;
  if (!running_) return options_.idle_seconds;
  const auto own = options_.deadlines.find(stages_[results_.size()]);
  return own == options_.deadlines.end() ? kDefaultDeadline : own->second;
}

std::optional<Ending> Supervisor::overdue(double now) const {
  if (misbehaved()) return Ending::kProtocol;
  if (now - since_ <= allowance()) return std::nullopt;
  return running_ ? Ending::kDeadline : Ending::kSilent;
}

void Supervisor::leave_unfinished(Ending ending, const Exit& exit, double now) {
  const std::string detail = ending == Ending::kDeadline ? format_number(allowance()) + " s" : protocol_fault_;
  evals::StageResult result =
      unfinished_result(stages_[results_.size()], ending, exit, options_.memory_bytes, options_.cpu_seconds, detail);
  result.seconds = running_ ? std::max(0.0, now - since_) : 0.0;
  result.log_tail = log_tail();
  running_ = false;
  finished_ = true;
  keep(std::move(result));
}

std::string Supervisor::log_tail() const {
  return printable(std::string_view(log_).substr(log_.size() - std::min(log_.size(), kLogTailBytes)));
}

}  // namespace vortex::sandbox
