#include "study/reproduce.h"

#include <map>
#include <utility>

namespace vortex::study {

std::vector<job::Outcome> incumbent_of(const CandidateHistory& dense) {
  std::vector<job::Outcome> incumbent;
  for (const job::Stage stage : {job::Stage::kGate, job::Stage::kRace, job::Stage::kConfirm}) {
    const db::StageRow* row = last_stage(dense, stage);
    if (row == nullptr) { continue; }
    const std::vector<job::Outcome> outcomes = outcomes_of(dense, *row);
    incumbent.insert(incumbent.end(), outcomes.begin(), outcomes.end());
  }
  return incumbent;
}

Result<job::Job> reproducing_job(const LoadedRun& run, const db::Candidate& row) {
  job::Job job = run.options.job;
  job.id = "replay";
  job.dense = is_dense(row);
  job.stages = {job::Stage::kCompile, job::Stage::kRace};
  if (!job.dense) {
    VORTEX_ASSIGN(const CandidateFiles files, files_of(*run.store, row));
    job.module_text = files.module_text;
    job.config_text = files.config_text;
    for (const CandidateHistory& candidate : run.history.candidates) {
      if (is_dense(candidate.row)) { job.incumbent = incumbent_of(candidate); }
    }
  }
  return job;
}

Replay compare(int64_t candidate, const std::vector<job::Outcome>& before, const std::vector<job::Outcome>& now) {
  std::map<std::pair<std::string, int>, std::string> hashes;
  for (const job::Outcome& outcome : now) { hashes[{outcome.problem, outcome.trial}] = outcome.tokens_hash; }
  Replay replay{candidate, 0, {}};
  for (const job::Outcome& outcome : before) {
    const auto found = hashes.find({outcome.problem, outcome.trial});
    const bool same = found != hashes.end() && found->second == outcome.tokens_hash;
    if (same) {
      ++replay.compared;
    } else if (replay.difference.empty()) {
      replay.difference = outcome.problem + ", trial " + std::to_string(outcome.trial) +
                          (found == hashes.end() ? " was not run" : " gave other tokens");
    }
  }
  return replay;
}

}  // namespace vortex::study
