#include "agent/loop/rounds.h"

#include <iterator>
#include <utility>

namespace vortex::agent {

job::Job Rounds::climb(const vflow::PolicySource& source) const {
  job::Job job = knowledge_.job_of(source);
  job.rivals = rivals_.all();
  speeds_.set_first_look(job);
  return job;
}

Status Rounds::ask(Beside beside) {
  const int overlap = parts_.options.overlap;
  if (beside == Beside::kClimbs && !asked_.empty() && ++asked_age_ < overlap) { return ok_status(); }
  VORTEX_TRY(take_asked());
  while (!parts_.session.ended()) {
    VORTEX_ASSIGN(asked_, next(overlap > 0 && beside != Beside::kClimbs));
    if (asked_.empty()) { break; }
    VORTEX_ASSIGN(asked_lot_, parts_.evaluator.start(asked_, true));
    asked_age_ = 0;
    if (beside != Beside::kNothing) { break; }
    VORTEX_TRY(take_asked());
  }
  return ok_status();
}

// Speeds first, as they may change who is asked; in a search whose batches overlap both at once, to lose no batch.
Result<std::vector<Assignment>> Rounds::next(bool all_at_once) {
  VORTEX_ASSIGN(std::vector<Assignment> tasks, speeds_.next(all_at_once));
  if (!tasks.empty() && parts_.options.overlap == 0) { return tasks; }
  VORTEX_ASSIGN(std::vector<Assignment> retests, retests_.next(tasks, all_at_once));
  std::move(retests.begin(), retests.end(), std::back_inserter(tasks));
  return tasks;
}

Status Rounds::take_asked() {
  if (asked_.empty()) { return ok_status(); }
  const std::vector<Assignment> tasks = std::exchange(asked_, {});
  VORTEX_TRY(parts_.evaluator.wait(asked_lot_));
  return knowledge_.take(tasks);
}

Status Rounds::finals() {
  VORTEX_TRY(take_asked());
  return finals_.run();
}

Result<std::string> Rounds::answer(const db::Request& request) {
  if (!parts_.shelf.contains(request.candidate)) { return std::string("refused: it is no candidate that can be run"); }
  VORTEX_TRY(take_asked());
  return request.kind == db::RequestKind::kConfirm ? finals_.answer(request.candidate)
                                                   : retests_.answer(request.candidate);
}

}  // namespace vortex::agent
