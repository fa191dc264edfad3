#include "study/retest.h"

namespace vortex::study {

db::StageRound retest_stage(int round) { return {job::Stage::kRace, round + 1}; }

db::StageRound confirm_stage(int round) { return {job::Stage::kConfirm, round}; }

db::StageRound speed_stage(int run) { return {job::Stage::kSpeed, run}; }

bool is_retest(db::StageRound stage) { return stage.stage == job::Stage::kRace && stage.round > 1; }

bool is_confirm(db::StageRound stage) { return stage.stage == job::Stage::kConfirm; }

bool is_aside(db::StageRound stage) { return stage.round > 1; }

int retest_round(db::StageRound stage) { return stage.round - 1; }

uint64_t retest_seed(uint64_t task_seed, int round) { return task_seed + 7919 * static_cast<uint64_t>(round); }

job::TaskSpec retest_task(job::TaskSpec task, int round) {
  task.seed = retest_seed(task.seed, round);
  task.problems = (task.problems + 1) / 2;
  return task;
}

int64_t retest_problems(const job::TaskSpec& task) { return int64_t{retest_task(task, 1).problems} * task.trials; }

}  // namespace vortex::study
