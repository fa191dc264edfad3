#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "evals/ladder/ladder.h"
#include "evals/ladder/session.h"
#include "evals/ladder/stages.h"

namespace vortex::evals {
namespace {

using StageFunction = Result<job::StageResult> (*)(Session&);

constexpr std::array<std::pair<job::Stage, StageFunction>, 7> kStageFunctions = {{
    {job::Stage::kCompile, run_compile},
    {job::Stage::kValidate, run_validate},
    {job::Stage::kRecall, run_recall},
    {job::Stage::kGate, run_gate},
    {job::Stage::kRace, run_race},
    {job::Stage::kSpeed, run_speed},
    {job::Stage::kConfirm, run_confirm},
}};

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
  if (session == nullptr) {
    VORTEX_ASSIGN(session, open_session(job));
  }
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

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void climb(const job::Job& job, const LadderEvents& events) {
  std::unique_ptr<Session> session;
  for (const auto& [stage, function] : kStageFunctions) {
    if (std::find(job.stages.begin(), job.stages.end(), stage) == job.stages.end()) continue;
    if (events.on_start) events.on_start(stage);
    const double start = now_seconds();
    job::StageResult result = guarded(job, function, session);
    result.stage = stage;
    result.seconds = now_seconds() - start;
    if (events.on_result) events.on_result(result);
    if (result.verdict != job::Verdict::kPass) return;
  }
}

}  // namespace vortex::evals
