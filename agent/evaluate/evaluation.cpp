#include "agent/evaluate/evaluation.h"

#include <algorithm>

#include "study/held_out.h"
#include "study/history.h"
#include "study/retest.h"

namespace vortex::agent {
namespace {

constexpr int kAttempts = 3;
constexpr double kFirstPause = 1.0;  // seconds; doubled for every further attempt

Evaluation broken(Error error) {
  return {Evaluation::End::kBroken, job::Verdict::kError, error.blame, std::move(error)};
}

// The number of the next worker process of a candidate.
Result<int64_t> next_attempt(db::Store& store, int64_t candidate) {
  VORTEX_ASSIGN(const std::vector<db::StageRow> rows, store.stages(candidate));
  int64_t last = 0;
  for (const db::StageRow& row : rows) {
    if (job::stage_info(row.stage.stage).in_worker) { last = std::max(last, row.attempt); }
  }
  return last + 1;
}

// Stores the results of one attempt as they come. The first failure to store stops the attempt.
class Recorder {
 public:
  Recorder(db::Store& store, const Assignment& task, int64_t attempt, const EvaluatorHooks& hooks)
      : store_(store), task_(task), attempt_(attempt), hooks_(hooks) {}

  void record(job::StageResult result) {
    ++recorded_;
    const bool cut_off = result.verdict == job::Verdict::kError || result.verdict == job::Verdict::kTimeout;
    if (stopped_ && cut_off) {
      result.verdict = job::Verdict::kError;
      result.blame = Blame::kEnvironment;
      result.message = study::kCutOff;
      interrupted_ = true;
    }
    if (task_.place > 0) {
      const double place = task_.place;
      result.metrics.push_back({study::kPlace, place, place, place, ""});
    }
    db::StageRow row = study::to_row(result, task_.candidate, attempt_);
    row.stage = row_stage(task_).value_or(row.stage);
    if (status_.ok()) { status_ = store_.add_stage(row, study::to_rows(result.outcomes, row)); }
    if (status_.ok() && hooks_.on_result) { hooks_.on_result(task_.candidate, result); }
    last_ = std::move(result);
  }

  bool should_stop() {
    if (!stopped_) { stopped_ = hooks_.should_stop(); }
    return stopped_ || !status_.ok();
  }

  size_t recorded() const { return recorded_; }
  const Status& status() const { return status_; }
  const job::StageResult& last() const { return last_; }
  bool interrupted() const { return interrupted_ || (stopped_ && recorded_ == 0); }

 private:
  db::Store& store_;
  const Assignment& task_;
  int64_t attempt_;
  const EvaluatorHooks& hooks_;
  Status status_ = ok_status();
  job::StageResult last_;
  size_t recorded_ = 0;
  bool stopped_ = false;
  bool interrupted_ = false;
};

Evaluation try_once(db::Store& store, const Assignment& task, const job::Job& job, int64_t attempt,
                    const EvaluatorHooks& hooks) {
  Recorder recorder(store, task, attempt, hooks);
  const auto results = hooks.run_job(
      job, [&](const job::StageResult& result) { recorder.record(result); }, [&] { return recorder.should_stop(); });
  if (results.ok()) {
    for (size_t i = recorder.recorded(); i < results->size(); ++i) { recorder.record((*results)[i]); }
  }
  if (!recorder.status().ok()) { return broken(recorder.status().error()); }
  if (recorder.interrupted()) { return {Evaluation::End::kStopped, job::Verdict::kError, Blame::kEnvironment, {}}; }
  if (!results.ok()) { return broken(results.error()); }
  if (recorder.recorded() == 0) { return broken(internal_error("the worker ended without any result")); }

  const job::StageResult& last = recorder.last();
  const std::string where = std::string(job::stage_name(last.stage)) + ": ";
  if (last.blame == Blame::kEnvironment) { return broken(environment_error(where + last.message)); }
  if (last.verdict == job::Verdict::kPass && last.stage != job.stages.back()) {
    return broken(internal_error("the worker ended after " + std::string(job::stage_name(last.stage)) +
                                 " without a result of the next stage"));
  }
  Evaluation done;
  done.verdict = last.verdict;
  done.blame = last.blame.value_or(Blame::kCandidate);
  if (last.verdict != job::Verdict::kPass) { done.error = {done.blame, where + last.message, {}}; }
  return done;
}

bool machine_works(const job::Job& canary, const EvaluatorHooks& hooks) {
  const auto results = hooks.run_job(
      canary, [](const job::StageResult&) {}, hooks.should_stop);
  return results.ok() && !results->empty() && results->back().verdict == job::Verdict::kPass;
}

}  // namespace

std::optional<db::StageRound> row_stage(const Assignment& task) {
  switch (task.kind) {
    case Assignment::Kind::kClimb:
      return std::nullopt;
    case Assignment::Kind::kRetest:
      return study::retest_stage(task.round);
    case Assignment::Kind::kConfirm:
      return study::confirm_stage(task.round);
    case Assignment::Kind::kSpeed:
      return study::speed_stage(task.round);
  }
  return std::nullopt;
}

Evaluation evaluate(db::Store& store, const Assignment& task, const job::Job& canary, const EvaluatorHooks& hooks) {
  const bool climbs = task.kind == Assignment::Kind::kClimb;
  job::Job job = task.job;
  Evaluation result;
  double pause = kFirstPause;
  for (int attempt = 0; attempt < kAttempts; ++attempt, pause *= 2) {
    if (attempt > 0) { hooks.pause(pause); }
    if (attempt > 0 && hooks.should_stop()) {
      return {Evaluation::End::kStopped, job::Verdict::kError, Blame::kEnvironment, {}};
    }
    const auto number = next_attempt(store, task.candidate);
    if (!number.ok()) { return broken(number.error()); }
    job.id = "candidate-" + std::to_string(task.candidate) + "-" + std::to_string(*number);
    if (climbs) {
      const Status running = store.set_candidate_state(task.candidate, db::CandidateState::kRunning, std::nullopt);
      if (!running.ok()) { return broken(running.error()); }
    }
    result = try_once(store, task, job, *number, hooks);
    if (result.end != Evaluation::End::kBroken) { break; }
  }
  if (result.end == Evaluation::End::kBroken && machine_works(canary, hooks)) {
    result.end = Evaluation::End::kDone;
    result.verdict = job::Verdict::kError;
    result.blame = Blame::kEnvironment;
  }
  // Only a climb has a verdict, but for a policy that crashes on held-out problems; dense attention keeps its own.
  const bool crashed = task.kind == Assignment::Kind::kConfirm && !task.job.dense &&
                       result.end == Evaluation::End::kDone && result.blame == Blame::kCandidate &&
                       result.verdict != job::Verdict::kPass && result.verdict != job::Verdict::kPruned;
  if (!climbs && !crashed) { return result; }
  Status stored = ok_status();
  if (result.end == Evaluation::End::kDone) {
    stored = store.set_candidate_state(task.candidate, db::CandidateState::kDone, result.verdict);
  } else if (climbs) {
    stored = store.set_candidate_state(task.candidate, db::CandidateState::kProposed, std::nullopt);
  }
  // A store that fails after a failure is the same failure: the first one is told.
  if (!stored.ok() && result.end != Evaluation::End::kBroken) { return broken(stored.error()); }
  return result;
}

}  // namespace vortex::agent
