#include "agent/evaluate/evaluator.h"

#include <algorithm>

#include "agent/evaluate/evaluation.h"
#include "base/text.h"
#include "study/retest.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

// Candidates in a row, after which the search ends: a night of them would be wasted.
constexpr int kInternalFaults = 5;
constexpr size_t kSpoiled = 5;

// The verdict that a candidate's rows already hold, for one whose verdict was not written before a crash.
std::optional<job::Verdict> verdict_in_rows(const study::CandidateHistory& candidate, job::Stage last) {
  const std::vector<db::StageRow> climb = study::last_climb(candidate);
  if (climb.empty()) { return std::nullopt; }
  const db::StageRow& row = climb.back();
  if (row.blame == Blame::kEnvironment) { return std::nullopt; }
  if (row.verdict == job::Verdict::kPass && row.stage != last) { return std::nullopt; }
  return row.verdict;
}

nlohmann::json environment_event(int64_t candidate, const job::StageResult& result) {
  return {{"candidate", candidate},
          {"stage", job::stage_name(result.stage)},
          {"message", "candidate " + std::to_string(candidate) + ", " + std::string(job::stage_name(result.stage)) +
                          ": " + result.message}};
}

// What a worker is at when it has passed `passed`, or has just begun.
std::string at_work(const Assignment& task, std::optional<job::Stage> passed) {
  if (const auto round = row_stage(task)) { return db::stage_round_name(*round); }
  const std::vector<job::Stage>& stages = task.job.stages;
  const auto found = passed ? std::find(stages.begin(), stages.end(), *passed) : stages.end();
  if (found == stages.end()) { return std::string(job::stage_name(stages.front())); }
  return std::string(found + 1 == stages.end() ? "the end" : job::stage_name(*(found + 1)));
}

}  // namespace

std::string model_hash_of(const nlohmann::json& evidence) {
  const auto text = [&](const char* key) {
    const bool says = evidence.is_object() && evidence.contains(key) && evidence[key].is_string();
    return says ? evidence[key].get<std::string>() : std::string();
  };
  const std::string unit = text("cpu_unit");
  return unit.empty() ? text("model_hash") : text("model_hash") + " on " + unit;
}

Evaluator::Evaluator(Session& session, const study::SearchOptions& options, job::Job canary)
    : session_(session),
      options_(options),
      canary_(std::move(canary)),
      breaker_(session, "machine"),
      pool_(session.hooks().pool != nullptr ? *session.hooks().pool : threads_.emplace(options.workers)) {}

Result<int64_t> Evaluator::start(const std::vector<Assignment>& all, bool urgent) {
  std::vector<Pool::Task> lot;
  for (const Assignment& task : all) {
    VORTEX_ASSIGN(const bool pending, is_pending(task));
    if (!pending) { continue; }
    const auto shared = std::make_shared<const Assignment>(task);
    const int64_t number = ++tasks_;
    lot.push_back({[this, shared, number] { return may_start(*shared, number); },
                   [this, shared, number] { work(*shared, number); }});
  }
  return pool_.start(std::move(lot), urgent);
}

Status Evaluator::wait(int64_t lot) {
  pool_.wait(lot, [this] { session_.tick(); });
  session_.tick();
  return session_.status();
}

Status Evaluator::run(const std::vector<Assignment>& tasks) {
  VORTEX_ASSIGN(const int64_t lot, start(tasks, true));
  return wait(lot);
}

void Evaluator::learn(const study::CandidateHistory& candidate) {
  const MutexLock lock(times_mutex_);
  for (const db::StageRow& row : candidate.stages) {
    const auto number = static_cast<size_t>(row.id);
    if (learned_.size() <= number) { learned_.resize(number + 1); }
    if (row.verdict != job::Verdict::kPass || learned_[number]) { continue; }
    learned_[number] = true;
    Times& times = times_[row.stage];
    times.seconds += row.seconds;
    times.count += 1;
  }
}

double Evaluator::expected_seconds(const std::vector<job::Stage>& stages, size_t from) const {
  const MutexLock lock(times_mutex_);
  double seconds = 0;
  for (size_t i = from; i < stages.size(); ++i) {
    const auto times = times_.find(stages[i]);
    if (times != times_.end()) { seconds += times->second.seconds / times->second.count; }
  }
  return seconds;
}

std::string Evaluator::longest_stages(std::vector<job::Stage> stages) const {
  const auto seconds = [&](job::Stage stage) { return expected_seconds({stage}); };
  std::stable_sort(stages.begin(), stages.end(), [&](auto a, auto b) { return seconds(a) > seconds(b); });
  std::vector<std::string> told;
  for (size_t i = 0; i < std::min<size_t>(2, stages.size()); ++i) {
    told.push_back(std::string(job::stage_name(stages[i])) + " " + fixed(seconds(stages[i]), 0) + " s");
  }
  return join(told, ", ");
}

Result<bool> Evaluator::is_pending(const Assignment& task) {
  // Without outcomes, which tell nothing of this.
  study::CandidateHistory candidate;
  VORTEX_ASSIGN(const std::optional<db::Candidate> found, session_.store().find_candidate(task.candidate));
  if (!found) { return internal_error("there is no candidate " + std::to_string(task.candidate)); }
  candidate.row = *found;
  VORTEX_ASSIGN(candidate.stages, session_.store().stages(task.candidate));
  if (const auto stage = row_stage(task)) {
    const std::vector<db::StageRow>& rows = candidate.stages;
    // What the machine spoiled is asked again.
    return std::none_of(rows.begin(), rows.end(), [&](const db::StageRow& row) {
      return row.stage == stage && row.blame != Blame::kEnvironment;
    });
  }
  if (study::is_done(candidate.row)) { return false; }
  const std::optional<job::Verdict> verdict = verdict_in_rows(candidate, task.job.stages.back());
  if (!verdict || (task.job.dense && verdict != job::Verdict::kPass)) {
    return true;  // the baseline may try again
  }
  VORTEX_TRY(session_.store().set_candidate_state(task.candidate, db::CandidateState::kDone, verdict));
  return false;
}

bool Evaluator::may_start(const Assignment& task, int64_t number) {
  const double seconds = expected_seconds(task.job.stages);
  Budget& budget = session_.budget();
  const bool start = !session_.ended() &&
                     (task.needed ? budget.start_needed_work(number, seconds) : budget.start_work(number, seconds));
  if (!start) { session_.leave_unfinished(); }
  return start;
}

void Evaluator::work(const Assignment& task, int64_t number) {
  std::atomic<bool> out_of_budget = false;
  EvaluatorHooks hooks;
  hooks.run_job = session_.hooks().run_job;
  hooks.should_stop = [&] { return out_of_budget || session_.must_kill(); };
  hooks.pause = [&](double seconds) { session_.pause(seconds); };
  hooks.on_result = [&](int64_t candidate, const job::StageResult& result) {
    session_.change_progress([&](Progress& progress) { progress.running[candidate] = at_work(task, result.stage); });
    if (session_.hooks().on_stage) {
      session_.hooks().on_stage(candidate, db::stage_round_name(row_stage(task).value_or(result.stage)), result);
    }
    check_model(task, result);
    if (study::is_cut_off(result.message)) { return; }  // the search's own end
    if (result.blame == Blame::kEnvironment) {
      const nlohmann::json detail = environment_event(candidate, result);
      session_.note("environment", detail);
      session_.message(detail["message"].get<std::string>());
      return;
    }
    const auto& stages = task.job.stages;
    const auto at = std::find(stages.begin(), stages.end(), result.stage);
    if (task.needed || at == stages.end()) { return; }
    const double rest = expected_seconds(stages, static_cast<size_t>(at - stages.begin()) + 1);
    if (rest > 0 && !session_.budget().work_fits(number, rest)) { out_of_budget = true; }
  };
  session_.change_progress([&](Progress& progress) { progress.running[task.candidate] = at_work(task, {}); });
  Evaluation end = evaluate(session_.store(), task, canary_, hooks);
  while (end.end == Evaluation::End::kBroken && end.error.blame == Blame::kEnvironment && breaker_.wait(end.error)) {
    end = evaluate(session_.store(), task, canary_, hooks);
  }
  if (end.end == Evaluation::End::kDone) { breaker_.worked(); }
  session_.budget().end_work(number);
  session_.change_progress([&](Progress& progress) { progress.running.erase(task.candidate); });
  conclude(task, end);
}

// What the end of one climb means for the search.
void Evaluator::conclude(const Assignment& task, const Evaluation& end) {
  if (end.end == Evaluation::End::kStopped) { return session_.leave_unfinished(); }
  if (end.end == Evaluation::End::kBroken) {
    return session_.fail({end.error.blame, end.error.message,
                          end.error.hint.empty() ? "`vortex doctor` looks for the cause" : end.error.hint});
  }
  const bool ours = end.verdict != job::Verdict::kPass && end.blame == Blame::kInternal;
  internal_faults_ = ours ? internal_faults_ + 1 : 0;
  if (internal_faults_ == kInternalFaults) {
    session_.fail(internal_error("the last " + std::to_string(kInternalFaults) +
                                 " candidates met faults of this program: " + end.error.message));
  }
  if (task.kind != Assignment::Kind::kClimb) { return; }
  if (const Status kept = count_spoiled(task, end); !kept.ok()) { return session_.fail(kept.error()); }
  const auto candidate = study::read_candidate(session_.store(), task.candidate);
  if (!candidate.ok()) { return session_.fail(candidate.error()); }
  CandidateSummary summary{task.candidate, candidate->row.origin, end.verdict, end.error.message, {}, {}};
  if (const auto point = study::point_of(*candidate, options_.rank_speed, options_.seed)) {
    summary.accuracy = point->accuracy;
    summary.speed = point->speed.ratio;
  }
  session_.candidate(summary);
  if (task.job.dense) { return; }
  session_.change_progress([&](Progress& progress) {
    ++progress.evaluated;
    ++progress.verdicts[std::string(name_of(end.verdict))];
  });
}

// The machine passes the canary, and yet it spoils one candidate after the other: something that only policies need is
// broken. They are proposals again, for a repaired machine to judge.
Status Evaluator::count_spoiled(const Assignment& task, const Evaluation& end) {
  const MutexLock lock(spoiled_mutex_);
  if (end.verdict != job::Verdict::kError || end.blame != Blame::kEnvironment) {
    spoiled_.clear();
    return ok_status();
  }
  spoiled_.push_back(task.candidate);
  if (spoiled_.size() < kSpoiled) { return ok_status(); }
  for (const int64_t candidate : spoiled_) {
    VORTEX_TRY(session_.store().set_candidate_state(candidate, db::CandidateState::kProposed, std::nullopt));
  }
  spoiled_.clear();
  session_.fail(environment_error(
      "the last " + std::to_string(kSpoiled) + " candidates met the same machine's faults: " + end.error.message,
      end.error.hint.empty() ? "`vortex doctor` looks for the cause; then resume: they are tried again"
                             : end.error.hint));
  return ok_status();
}

// Results on another model than the baseline's, or of other arithmetic, must not be compared with it.
void Evaluator::check_model(const Assignment& task, const job::StageResult& result) {
  const std::string hint = "restore " + options_.job.model_path + ", or start a new search";
  if (result.evidence.is_object() && result.evidence.contains("model_changed")) {
    return session_.fail(environment_error(result.message, hint));
  }
  const std::string hash = task.job.dense ? std::string() : model_hash_of(result.evidence);
  if (hash.empty() || hash == model_hash_) { return; }
  session_.fail(environment_error(
      "the model, or the unit that multiplies, is not the one that this search measured dense attention on", hint));
}

}  // namespace vortex::agent
