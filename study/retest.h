#pragma once

#include <cstdint>

#include "db/words.h"
#include "job/task_spec.h"

namespace vortex::study {

// Stage rows beside a candidate's climb (db/words.h has their words). They add to what is known of a point and change
// no verdict: retests, from 1; rounds of held-out problems, from 1, for finalists and dense attention
// (study/held_out.h); and speed once more, from 2.
db::StageRound retest_stage(int round);
db::StageRound confirm_stage(int round);
db::StageRound speed_stage(int run);
bool is_retest(db::StageRound stage);
bool is_confirm(db::StageRound stage);
// Measured after the climb: all of the above but the first round of held-out problems, which older searches had in the
// climb of dense attention.
bool is_aside(db::StageRound stage);
int retest_round(db::StageRound stage);  // of such a row
// The problems of a round of retests: others than the task's, and half as many. After small rounds what is known by
// then says who goes on.
job::TaskSpec retest_task(job::TaskSpec task, int round);
// How many problems a round has, each trial counted.
int64_t retest_problems(const job::TaskSpec& task);
// The seed of a round's problems.
uint64_t retest_seed(uint64_t task_seed, int round);
inline constexpr int kMaxRetests = 14;
inline constexpr int kMaxSpeedRuns = 20;

}  // namespace vortex::study
