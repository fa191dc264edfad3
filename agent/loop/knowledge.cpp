#include "agent/loop/knowledge.h"

#include <algorithm>
#include <set>

#include "study/held_out.h"
#include "study/reproduce.h"

namespace vortex::agent {

Knowledge::Knowledge(const LoopParts& parts)
    : parts_(parts), standing_(parts.options), rules_(study::sequence_rules(parts.options)) {}

void Knowledge::take_dense(const study::CandidateHistory& dense) {
  rules_ = study::sequence_rules(parts_.options);  // whose held-out problems are settled by now
  incumbent_ = study::incumbent_of(dense);
  clocks_.count_dense_climb(dense);
}

void Knowledge::absorb(const study::CandidateHistory& today) {
  if (!study::is_done(today.row)) { return; }
  if (today.row.id == dense_) { clocks_.dense_problem_seconds = study::fresh_problem_seconds(today); }
  const study::CandidateHistory candidate = study::as_of(today, of(today.row.id));
  standing_.update(candidate);
  parts_.evaluator.learn(candidate);
  const study::Archive& archive = standing_.archive();
  parts_.session.change_progress([&](Progress& progress) {
    progress.front = static_cast<int>(archive.front().size());
    progress.best_speed = 1.0;
    for (const size_t member : archive.front()) {
      progress.best_speed = std::max(progress.best_speed, archive.points()[member].speed.ratio.value);
    }
  });
}

Status Knowledge::take(const std::vector<Assignment>& tasks) {
  if (parts_.session.ended()) {
    return ok_status();  // a part of a round must decide nothing
  }
  for (const Assignment& task : tasks) {
    study::Known& known = known_[task.candidate];
    (task.kind == Assignment::Kind::kSpeed ? known.speed_runs : known.retests) = task.round;
  }
  std::set<int64_t> taken;
  for (const Assignment& task : tasks) {
    if (!taken.insert(task.candidate).second) { continue; }
    VORTEX_ASSIGN(const study::CandidateHistory candidate, read(task.candidate));
    absorb(candidate);
    if (task.candidate == dense_) { clocks_.count_new_problems(candidate, tasks); }
  }
  return ok_status();
}

study::Known Knowledge::of(int64_t candidate) const {
  const auto known = known_.find(candidate);
  return known == known_.end() ? study::Known() : known->second;
}

Result<study::CandidateHistory> Knowledge::read(int64_t candidate) const {
  return study::read_candidate(parts_.session.store(), candidate);
}

job::Job Knowledge::job_of(const vflow::PolicySource& source) const {
  job::Job job = parts_.options.job;
  job.module_text = source.module_text;
  job.config_text = source.config_text;
  job.incumbent = incumbent_;
  return job;
}

}  // namespace vortex::agent
