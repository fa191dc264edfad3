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

struct StageRow {
  StageFunction run = nullptr;  // null: a stage of the orchestrator
  DeviceUse use = DeviceUse::kNone;
};

StageRow row_of(job::Stage stage) {
  switch (stage) {
    case job::Stage::kCheck:
    case job::Stage::kNovelty:
      return {};
    case job::Stage::kCompile:
      return {run_compile, DeviceUse::kNone};
    case job::Stage::kValidate:
      return {run_validate, DeviceUse::kNone};
    case job::Stage::kRecall:
      return {run_recall, DeviceUse::kTogether};
    case job::Stage::kGate:
      return {run_gate, DeviceUse::kTogether};
    case job::Stage::kRace:
      return {run_race, DeviceUse::kTogether};
    case job::Stage::kSpeed:
      return {run_speed, DeviceUse::kAlone};
    case job::Stage::kConfirm:
      return {run_confirm, DeviceUse::kTogether};
  }
  return {};
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
Result<job::StageResult> run_in_session(const job::Job& job, const StageRow& row, DeviceTurn& turn,
                                        std::unique_ptr<Session>& session) {
  if (session == nullptr) {
    VORTEX_ASSIGN(session, open_session(job));
    session->turn = &turn;
  }
  VORTEX_TRY(turn.take(*session, row.use));
  return row.run(*session);
}

job::StageResult guarded(const job::Job& job, const StageRow& row, DeviceTurn& turn,
                         std::unique_ptr<Session>& session) {
  try {
    Result<job::StageResult> result = run_in_session(job, row, turn, session);
    return result.ok() ? std::move(result).value() : result_of(result.error());
  } catch (const std::bad_alloc&) {
    // Policies are priced before they run, and the limit of address space is the job's own.
    return result_of(candidate_error("out of memory", "use smaller or fewer cache fields, or a smaller batch"));
  } catch (const std::exception& exception) {
    return result_of(internal_error(std::string("exception: ") + exception.what()));
  }
}

// 0 where it cannot be said: whatever is wrong, the stage itself will meet it.
double plan_of(std::unique_ptr<Session>& session, DeviceTurn& turn, job::Stage stage) {
  if (session == nullptr) { return 0; }
  try {
    if (!turn.take(*session, DeviceUse::kTogether).ok()) { return 0; }
    const Result<double> planned = planned_seconds(*session, stage);
    return planned.ok() ? *planned : 0;
  } catch (const std::exception&) { return 0; }
}

}  // namespace

void climb(const job::Job& job, const LadderEvents& events) {
  std::unique_ptr<Session> session;
  DeviceTurn turn(job);
  for (const job::StageInfo& info : job::kLadder) {
    if (!info.in_worker || std::find(job.stages.begin(), job.stages.end(), info.stage) == job.stages.end()) {
      continue;
    }
    const double planned = plan_of(session, turn, info.stage);
    if (events.on_start) { events.on_start(info.stage, planned); }
    const double start = monotonic_seconds();
    const double waited = turn.waited();
    job::StageResult result = guarded(job, row_of(info.stage), turn, session);
    if (session != nullptr) { turn.end(*session); }
    result.stage = info.stage;
    result.seconds = monotonic_seconds() - start - (turn.waited() - waited);
    if (turn.is_shared()) { result.evidence["waited_seconds"] = turn.waited() - waited; }
    if (planned > 0) { result.evidence["planned_seconds"] = planned; }
    if (events.on_result) { events.on_result(result); }
    if (result.verdict != job::Verdict::kPass) { return; }
  }
}

}  // namespace vortex::evals
