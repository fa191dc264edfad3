#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "base/clock.h"
#include "evals/ladder/ladder.h"
#include "evals/ladder/planned.h"
#include "evals/ladder/session.h"
#include "evals/ladder/stages.h"

namespace vortex::evals {
namespace {

using StageFunction = Result<job::StageResult> (*)(Session&);

// Null: a stage of the orchestrator.
StageFunction function_of(job::Stage stage) {
  switch (stage) {
    case job::Stage::kCheck:
    case job::Stage::kNovelty:
      return nullptr;
    case job::Stage::kCompile:
      return run_compile;
    case job::Stage::kValidate:
      return run_validate;
    case job::Stage::kRecall:
      return run_recall;
    case job::Stage::kGate:
      return run_gate;
    case job::Stage::kRace:
      return run_race;
    case job::Stage::kSpeed:
      return run_speed;
    case job::Stage::kConfirm:
      return run_confirm;
  }
  return nullptr;
}

job::StageResult result_of(const Error& error) {
  job::StageResult result;
  result.verdict = error.blame == Blame::kCandidate ? job::Verdict::kFail : job::Verdict::kError;
  result.blame = error.blame;
  result.message = error.hint.empty() ? error.message : error.message + "\n" + error.hint;
  // A result that measured nothing still says so: evidence is never empty.
  result.evidence = {{"measured", false}};
  return result;
}

// Opens the session on first use, so that a job may begin with any stage.
Result<job::StageResult> run_in_session(const job::Job& job, StageFunction function,
                                        std::unique_ptr<Session>& session) {
  if (session == nullptr) { VORTEX_ASSIGN(session, open_session(job)); }
  return function(*session);
}

job::StageResult guarded(const job::Job& job, StageFunction function, std::unique_ptr<Session>& session) {
  try {
    Result<job::StageResult> result = run_in_session(job, function, session);
    return result.ok() ? std::move(result).value() : result_of(result.error());
  } catch (const std::bad_alloc&) {
    // Policies are priced before they run, and the limit of address space is the job's own.
    return result_of(candidate_error("out of memory", "use smaller or fewer cache fields, or a smaller batch"));
  } catch (const std::exception& exception) {
    return result_of(internal_error(std::string("exception: ") + exception.what()));
  }
}

// 0 where it cannot be said: whatever is wrong, the stage itself will meet it.
double plan_of(std::unique_ptr<Session>& session, job::Stage stage) {
  if (session == nullptr) { return 0; }
  try {
    const Result<double> planned = planned_seconds(*session, stage);
    return planned.ok() ? *planned : 0;
  } catch (const std::exception&) { return 0; }
}

}  // namespace

void climb(const job::Job& job, const LadderEvents& events) {
  std::unique_ptr<Session> session;
  for (const job::StageInfo& info : job::kLadder) {
    if (!info.in_worker || std::find(job.stages.begin(), job.stages.end(), info.stage) == job.stages.end()) {
      continue;
    }
    const double planned = plan_of(session, info.stage);
    if (events.on_start) { events.on_start(info.stage, planned); }
    const double start = monotonic_seconds();
    job::StageResult result = guarded(job, function_of(info.stage), session);
    result.stage = info.stage;
    result.seconds = monotonic_seconds() - start;
    if (planned > 0) { result.evidence["planned_seconds"] = planned; }
    if (events.on_result) { events.on_result(result); }
    if (result.verdict != job::Verdict::kPass) { return; }
  }
}

}  // namespace vortex::evals
