#include "cli/kept_evaluation.h"

#include <algorithm>
#include <numeric>

#include "base/clock.h"
#include "cli/policy_files.h"
#include "core/vflow/graph/canonical.h"
#include "study/history.h"
#include "study/loaded_run.h"
#include "study/options.h"

namespace vortex::cli {
namespace {

double seconds_of(const std::vector<job::StageResult>& results) {
  return std::accumulate(results.begin(), results.end(), 0.0,
                         [](double sum, const job::StageResult& result) { return sum + result.seconds; });
}

// The options of a search that would have asked the same.
study::SearchOptions options_of_job(const job::Job& job) {
  study::SearchOptions options;
  options.job = job;
  options.job.id = "shared";
  options.job.dense = false;
  options.job.module_text.clear();
  options.job.config_text.clear();
  options.job.incumbent.clear();
  options.job.kept = nullptr;
  options.seed = job.seed;
  options.proposer = study::kEvaluated;
  options.confirm = false;
  options.accept_baseline = true;
  return options;
}

Result<std::string> next_name(db::Store& store) {
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store.runs());
  for (size_t number = 1;; ++number) {
    const std::string name = std::string(study::kEvaluated) + "-" + std::to_string(number);
    const bool taken = std::any_of(runs.begin(), runs.end(), [&](const db::Run& run) { return run.name == name; });
    if (!taken) { return name; }
  }
}

Status add_results(db::Store& store, int64_t candidate, const std::vector<job::StageResult>& results) {
  for (const job::StageResult& result : results) {
    const db::StageRow row = study::to_row(result, candidate, 1);
    VORTEX_TRY(store.add_stage(row, study::to_rows(result.outcomes, row)));
  }
  return store.set_candidate_state(candidate, db::CandidateState::kDone, results.back().verdict);
}

// A policy that does not check has no key; its text stands for it.
Result<db::Candidate> candidate_of(db::Store& store, const job::Job& job, const std::string& module) {
  db::Candidate row;
  row.batch = 1;
  row.origin = db::Origin::kSeed;
  row.rationale = "evaluated: " + module;
  VORTEX_ASSIGN(row.module_object, store.put_object(job.module_text));
  VORTEX_ASSIGN(row.config_object, store.put_object(job.config_text));
  row.key = row.module_object;
  VORTEX_ASSIGN(const vflow::ModelGeometry model, geometry_of_job(job));
  const vflow::CheckReport report =
      vflow::check_policy({job.module_text, job.config_text, "policy.py", "policy.json"}, model);
  if (report.policy) {
    row.key = policy_key(*report.policy);
    row.program_hash = program_hash(report.policy->program);
  }
  return row;
}

}  // namespace

Result<KeptEvaluation> keep_evaluation(db::Store& store, const job::Job& job, const std::string& module,
                                       const std::vector<job::StageResult>& dense,
                                       const std::vector<job::StageResult>& results) {
  db::Run run;
  VORTEX_ASSIGN(run.name, next_name(store));
  run.config = study::to_json(options_of_job(job)).dump();
  run.started = wall_seconds() - seconds_of(dense) - seconds_of(results);
  VORTEX_ASSIGN(run.id, store.add_run(run));
  db::Candidate baseline;
  baseline.run = run.id;
  baseline.origin = db::Origin::kDense;
  baseline.key = name_of(baseline.origin);
  baseline.rationale = "the baseline: attends every page";
  const std::vector<job::StageResult>& of_dense = job.dense ? results : dense;
  KeptEvaluation kept{run.name, 0};
  if (!of_dense.empty()) {
    VORTEX_ASSIGN(kept.candidate, store.add_candidate(baseline, {}));
    VORTEX_TRY(add_results(store, kept.candidate, of_dense));
  }
  if (!job.dense) {
    VORTEX_ASSIGN(db::Candidate row, candidate_of(store, job, module));
    row.run = run.id;
    VORTEX_ASSIGN(kept.candidate, store.add_candidate(row, {}));
    VORTEX_TRY(add_results(store, kept.candidate, results));
  }
  VORTEX_TRY(store.add_run_seconds(run.id, seconds_of(dense) + seconds_of(results), 0));
  VORTEX_TRY(store.set_run_state(run.id, db::RunState::kFinished));
  return kept;
}

}  // namespace vortex::cli
