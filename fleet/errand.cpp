#include "fleet/errand.h"

#include <chrono>

#include "base/clock.h"
#include "job/protocol.h"

namespace vortex::fleet {
namespace {

constexpr auto kWait = std::chrono::milliseconds(500);
constexpr int kMostFaults = 3;
constexpr double kStopSeconds = 20;   // that a worker gets to end a task
constexpr double kAlikeSeconds = 60;  // that a climb waits for a worker like the one it began on

nlohmann::json node_of(const Lease& lease) {
  const Machine& machine = lease.machine();
  nlohmann::json node = {{"name", machine.node}, {"worker", lease.worker()}, {"device", machine.device}};
  if (!machine.uuid.empty()) { node["uuid"] = machine.uuid; }
  if (!machine.driver.empty()) { node["driver"] = machine.driver; }
  return node;
}

bool blames_machine(const job::StageResult& result) {
  return result.verdict == job::Verdict::kError && result.blame == Blame::kEnvironment &&
         !result.evidence.contains("model_changed");
}

}  // namespace

Result<std::vector<job::StageResult>> Fleet::run_job(const job::Job& job,
                                                     const std::function<void(const job::StageResult&)>& on_result,
                                                     const std::function<bool()>& should_stop) {
  return Errand(*this, job, on_result, should_stop).run();
}

Errand::Errand(Fleet& fleet, const job::Job& job, const std::function<void(const job::StageResult&)>& on_result,
               const std::function<bool()>& should_stop)
    : fleet_(fleet), job_(job), on_result_(on_result), should_stop_(should_stop), check_(job_) {
  for (const job::Stage stage : job.stages) {
    if (job::stage_info(stage).in_worker) { stages_.push_back(stage); }
  }
}

Result<std::vector<job::StageResult>> Errand::run() {
  if (job::request_frame(job_).size() > job::kMaxFrameBytes - kHeadBytes) {
    return candidate_error("the job is larger than the protocol allows");
  }
  for (int faults = 0; !finished();) {
    const Machine* like = results_.empty() ? nullptr : &*machine_;
    const double patience = like != nullptr ? kAlikeSeconds : fleet_.options_.patience_seconds;
    const std::shared_ptr<Lease> lease = fleet_.lend(like, patience, should_stop_);
    if (lease == nullptr) {
      const bool asked = should_stop_ && should_stop_();
      if (!asked && results_.empty()) {
        return environment_error("no worker was there",
                                 "`vortex status` shows who is; docs/scale-out.md, how they come");
      }
      keep_error(asked ? "stopped on request" : "no worker like the one that the climb began on is left", node_);
      break;
    }
    const End end = climb(*lease);
    if (ended_) {
      fleet_.give_back(*lease, end == End::kFault ? fault_.message : "");
    } else {
      fleet_.drop(*lease, end == End::kFault ? fault_.message : "it did not end its task");
    }
    if (end != End::kFault) { break; }
    if (++faults < kMostFaults) { continue; }
    if (spoiled_) {
      keep(*std::move(spoiled_));
    } else {
      keep_error(fault_.message, node_);
    }
    break;
  }
  return std::move(results_);
}

bool Errand::finished() const {
  return results_.size() == stages_.size() || (!results_.empty() && results_.back().verdict != job::Verdict::kPass);
}

Errand::End Errand::climb(Lease& lease) {
  ended_ = false;
  asked_to_stop_ = false;
  spoiled_.reset();
  node_ = node_of(lease);
  job_.stages.assign(stages_.begin() + static_cast<std::ptrdiff_t>(results_.size()), stages_.end());
  job_.threads =
      fleet_.options_.own_threads ? lease.machine().threads : std::min(job_.threads, lease.machine().threads);
  std::string request = unframed(job::request_frame(job_));
  stage_began_ = monotonic_seconds();
  fleet_.give(lease, job_, std::string(job::stage_name(job_.stages.front())), std::move(request));
  double stop_by = 0;
  for (;;) {
    if (const std::optional<Mail> mail = lease.take(kWait)) {
      if (const std::optional<End> end = take(lease, *mail)) { return *end; }
    }
    if (!asked_to_stop_ && !finished() && should_stop_ && should_stop_()) {
      asked_to_stop_ = true;
      stop_by = monotonic_seconds() + kStopSeconds;
      fleet_.stop(lease);
    }
    if (asked_to_stop_ && monotonic_seconds() > stop_by) { return stopped(lease.worker()); }
  }
}

// What a piece of mail ends the worker's part of the climb with, if it does.
std::optional<Errand::End> Errand::take(Lease& lease, const Mail& mail) {
  if (mail.kind == Mail::Kind::kEvent) { return take_event(lease, mail.event); }
  ended_ = true;
  if (finished()) { return End::kFinished; }
  if (asked_to_stop_) { return stopped(lease.worker()); }
  if (spoiled_) { return fault(environment_error(spoiled_->message)); }
  if (mail.kind != Mail::Kind::kDone) { return fault(mail.error); }
  return fault(environment_error("worker " + lease.worker() + " ended without a result of every stage"));
}

std::optional<Errand::End> Errand::take_event(Lease& lease, const std::string& payload) {
  Result<job::Event> event = job::parse_event(payload);
  if (!event.ok()) { return fault(environment_error("what it sent cannot be read: " + event.error().message)); }
  auto* result = std::get_if<job::StageResult>(&*event);
  if (result == nullptr || finished() || spoiled_ || result->stage != stages_[results_.size()]) {
    return fault(environment_error("it reported what was not asked for"));
  }
  if (blames_machine(*result)) {
    result->evidence["node"] = node_;
    spoiled_ = std::move(*result);
    return std::nullopt;
  }
  if (result->verdict == job::Verdict::kPass || result->verdict == job::Verdict::kPruned) {
    // Times were compared with a clock where they were measured; on the way here anything may be late.
    const std::string doubt = check_.fault(*result, lease.build(), result->seconds);
    if (!doubt.empty()) {
      return fault(environment_error("its result of " + std::string(job::stage_name(result->stage)) + " " + doubt));
    }
  }
  result->evidence["node"] = node_;
  machine_ = lease.machine();
  keep(std::move(*result));
  if (!finished()) { fleet_.tell_stage(lease, std::string(job::stage_name(stages_[results_.size()]))); }
  return std::nullopt;
}

Errand::End Errand::stopped(const std::string& worker) {
  if (spoiled_) {
    keep(*std::exchange(spoiled_, std::nullopt));
  } else {
    keep_error("stopped on request (worker " + worker + ")", node_);
  }
  return End::kStopped;
}

Errand::End Errand::fault(Error error) {
  fault_ = std::move(error);
  return End::kFault;
}

void Errand::keep(job::StageResult result) {
  stage_began_ = monotonic_seconds();
  results_.push_back(std::move(result));
  if (on_result_) { on_result_(results_.back()); }
}

void Errand::keep_error(const std::string& message, const nlohmann::json& node) {
  job::StageResult result;
  result.stage = stages_[results_.size()];
  result.verdict = job::Verdict::kError;
  result.blame = Blame::kEnvironment;
  result.message = message;
  result.seconds = stage_began_ > 0 ? monotonic_seconds() - stage_began_ : 0;
  result.evidence = {{"measured", false}, {"exit", {{"how", "lost"}}}};
  if (!node.is_null()) { result.evidence["node"] = node; }
  keep(std::move(result));
}

}  // namespace vortex::fleet
