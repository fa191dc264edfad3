#include "study/held_out.h"

#include <gtest/gtest.h>

#include "study/retest.h"

namespace vortex::study {
namespace {

void add_stage(CandidateHistory& history, db::StageRound stage, int problems, double seconds) {
  db::StageRow row;
  row.candidate = 1;
  row.attempt = 1;
  row.stage = stage;
  row.verdict = job::Verdict::kPass;
  row.seconds = seconds;
  history.stages.push_back(row);
  for (int i = 0; i < problems; ++i) {
    db::OutcomeRow outcome;
    outcome.candidate = 1;
    outcome.attempt = 1;
    outcome.stage = stage;
    outcome.problem = "p" + std::to_string(i);
    history.outcomes.push_back(outcome);
  }
}

TEST(HeldOut, AProblemCostsItsPromptToo) {
  CandidateHistory dense;
  dense.row.id = 1;
  EXPECT_EQ(fresh_problem_seconds(dense), 0) << "not known";
  add_stage(dense, job::Stage::kRace, 16, 4);  // a quarter of a second each: the prompts had been read
  EXPECT_DOUBLE_EQ(fresh_problem_seconds(dense), 0.25);
  add_stage(dense, job::Stage::kSpeed, 0, 6);
  dense.stages.back().evidence = R"({"prompt_seconds": 1.5})";
  EXPECT_DOUBLE_EQ(fresh_problem_seconds(dense), 1.75);
  add_stage(dense, retest_stage(1), 16, 8);
  EXPECT_DOUBLE_EQ(fresh_problem_seconds(dense), 1.75) << "some of its prompts were read ahead";
  dense.stages.back().seconds = 32;
  EXPECT_DOUBLE_EQ(fresh_problem_seconds(dense), 2);
}

}  // namespace
}  // namespace vortex::study
