#include "agent/evaluator.h"

#include <algorithm>

#include "agent/evaluation.h"
#include "agent/pool.h"
#include "agent/standing.h"

namespace vortex::agent {
namespace {

constexpr int kInternalFaults = 5;  // in a row: a night of them would be wasted

// The verdict that a candidate's rows already hold, for one whose verdict was not written before a crash; else empty.
std::string verdict_in_rows(const CandidateHistory& candidate, evals::Stage last) {
  const std::vector<db::StageRow> climb = last_climb(candidate);
  if (climb.empty()) return {};
  const db::StageRow& row = climb.back();
  if (row.blame == "environment") return {};
  if (row.verdict == "pass" && row.stage != evals::stage_name(last)) return {};
  return row.verdict;
}

nlohmann::json environment_event(int64_t candidate, const evals::StageResult& result) {
  return {{"candidate", candidate},
          {"stage", evals::stage_name(result.stage)},
          {"message", "candidate " + std::to_string(candidate) + ", " + std::string(evals::stage_name(result.stage)) +
                          ": " + result.message}};
}

}  // namespace

std::string model_hash_of(const nlohmann::json& evidence) {
  const bool says = evidence.is_object() && evidence.contains("model_hash") && evidence["model_hash"].is_string();
  return says ? evidence["model_hash"].get<std::string>() : std::string();
}

Status Evaluator::run(const std::vector<Task>& all) {
  std::vector<Task> tasks;
  for (const Task& task : all) {
    VORTEX_ASSIGN(const bool pending, is_pending(task));
    if (pending) tasks.push_back(task);
  }
  run_pool(
      tasks.size(), options_.workers, [&](size_t i) { return may_start(tasks[i]); }, [&](size_t i) { work(tasks[i]); },
      [this] { sitting_.tick(); });
  sitting_.tick();
  return sitting_.status();
}

void Evaluator::learn(const CandidateHistory& candidate) {
  for (const db::StageRow& row : candidate.stages) {
    if (row.verdict != "pass" || !learned_.insert(row.id).second) continue;
    Times& times = times_[row.stage];
    times.seconds += row.seconds;
    times.count += 1;
  }
}

double Evaluator::expected_seconds(const std::vector<evals::Stage>& stages, size_t from) const {
  double seconds = 0;
  for (size_t i = from; i < stages.size(); ++i) {
    const auto times = times_.find(std::string(evals::stage_name(stages[i])));
    if (times != times_.end()) seconds += times->second.seconds / times->second.count;
  }
  return seconds;
}

Result<bool> Evaluator::is_pending(const Task& task) {
  VORTEX_ASSIGN(const CandidateHistory candidate, read_candidate(sitting_.store(), task.candidate));
  if (task.kind != Task::Kind::kClimb) {
    const std::string stage = task.kind == Task::Kind::kConfirm ? "confirm" : retest_stage(task.round);
    const std::vector<db::StageRow>& rows = candidate.stages;
    // What the machine spoiled is asked again.
    return std::none_of(rows.begin(), rows.end(),
                        [&](const db::StageRow& row) { return row.stage == stage && row.blame != "environment"; });
  }
  if (candidate.row.state == "done") return false;
  const std::string verdict = verdict_in_rows(candidate, task.job.stages.back());
  if (verdict.empty() || (task.job.dense && verdict != "pass")) return true;  // the baseline may try again
  VORTEX_TRY(sitting_.store().set_candidate_state(task.candidate, "done", verdict));
  return false;
}

bool Evaluator::may_start(const Task& task) {
  const double seconds = expected_seconds(task.job.stages);
  Budget& budget = sitting_.budget();
  const bool start = !sitting_.ended() && (task.needed ? budget.start_needed_work(task.candidate, seconds)
                                                       : budget.start_work(task.candidate, seconds));
  if (!start) sitting_.leave_unfinished();
  return start;
}

void Evaluator::work(const Task& task) {
  std::atomic<bool> out_of_budget = false;
  EvaluatorHooks hooks;
  hooks.run_job = sitting_.hooks().run_job;
  hooks.should_stop = [&] { return out_of_budget || sitting_.must_kill(); };
  hooks.pause = [&](double seconds) { sitting_.pause(seconds); };
  hooks.on_result = [&](int64_t candidate, const evals::StageResult& result) {
    sitting_.change_progress(
        [&](Progress& progress) { progress.running[candidate] = evals::stage_name(result.stage); });
    if (!task.job.dense) check_model(result);
    if (result.blame == Blame::kEnvironment) {
      const nlohmann::json detail = environment_event(candidate, result);
      sitting_.note("environment", detail);
      sitting_.message(detail["message"].get<std::string>());
      return;
    }
    const auto& stages = task.job.stages;
    const auto at = std::find(stages.begin(), stages.end(), result.stage);
    if (task.needed || at == stages.end()) return;
    const double rest = expected_seconds(stages, static_cast<size_t>(at - stages.begin()) + 1);
    if (rest > 0 && !sitting_.budget().work_fits(task.candidate, rest)) out_of_budget = true;
  };
  sitting_.change_progress([&](Progress& progress) { progress.running[task.candidate] = ""; });
  Climb end = climb(sitting_.store(), task, canary_, hooks);
  while (end.end == Climb::End::kBroken && end.error.blame == Blame::kEnvironment && breaker_.wait(end.error)) {
    end = climb(sitting_.store(), task, canary_, hooks);
  }
  if (end.end == Climb::End::kDone) breaker_.worked();
  sitting_.budget().end_work(task.candidate);
  sitting_.change_progress([&](Progress& progress) { progress.running.erase(task.candidate); });
  conclude(task, end);
}

// What the end of one climb means for the search.
void Evaluator::conclude(const Task& task, const Climb& end) {
  if (end.end == Climb::End::kStopped) return sitting_.leave_unfinished();
  if (end.end == Climb::End::kBroken) {
    return sitting_.fail({end.error.blame, end.error.message,
                          end.error.hint.empty() ? "`vortex doctor` looks for the cause" : end.error.hint});
  }
  const bool ours = end.verdict != "pass" && end.blame == Blame::kInternal;
  internal_faults_ = ours ? internal_faults_ + 1 : 0;
  if (internal_faults_ == kInternalFaults) {
    sitting_.fail(internal_error("the last " + std::to_string(kInternalFaults) +
                                 " candidates met faults of this program: " + end.error.message));
  }
  if (task.kind == Task::Kind::kRetest) return;
  const auto candidate = read_candidate(sitting_.store(), task.candidate);
  if (!candidate.ok()) return sitting_.fail(candidate.error());
  CandidateSummary summary{task.candidate, candidate->row.origin, end.verdict, end.error.message, {}, {}};
  if (const auto point = point_of(*candidate, options_.rank_speed, options_.seed)) {
    summary.accuracy = point->accuracy;
    summary.speed = point->speed;
  }
  sitting_.candidate(summary);
}

// Results on another model than the baseline's must not be compared with it.
void Evaluator::check_model(const evals::StageResult& result) {
  const std::string hash = model_hash_of(result.evidence);
  if (hash.empty() || hash == model_hash_) return;
  sitting_.fail(candidate_error("the model is not the one that this search measured dense attention on",
                                "restore " + options_.job.model_path + ", or start a new search"));
}

}  // namespace vortex::agent
