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
  add_stage(dense, retest_stage(2), 8, 36);
  add_stage(dense, retest_stage(3), 8, 5);
  EXPECT_DOUBLE_EQ(fresh_problem_seconds(dense), 4.5) << "the round of which the fewest were";
}

// Dense attention takes 2.25 s for a problem, a finalist a quarter of a second: three seconds with three finalists.
TEST(HeldOut, ThereAreAsManyAsFinalsHaveTimeFor) {
  CandidateHistory dense;
  dense.row.id = 1;
  add_stage(dense, job::Stage::kRace, 16, 4);
  for (size_t i = 0; i < 12; ++i) { dense.outcomes[i].correct = true; }
  add_stage(dense, job::Stage::kSpeed, 0, 6);
  dense.stages.back().evidence = R"({"prompt_seconds": 2})";
  SearchOptions options;
  options.job.id = "shared";
  const auto after = [&](double seconds) {
    options.seconds = seconds;
    return settled_held_out(options, dense);
  };
  EXPECT_EQ(after(1500), 192) << "600 s: 200 problems";
  EXPECT_EQ(after(1800), 240);
  EXPECT_EQ(after(3600), 0) << "the default, 384";
  EXPECT_EQ(after(600), 0) << "80 problems: a later sitting may ask more";
  EXPECT_EQ(after(0), 0) << "no limit";
  options.max_evals = 20;
  EXPECT_EQ(after(1500), 0) << "candidates are counted: nothing is decided by the clock";
  options.max_evals = 0;
  options.margin = 0.02;
  EXPECT_EQ(after(1500), 0) << "no claim within two points comes of 192 problems";
  options.margin = 0.1;
  options.held_out = after(1500);
  EXPECT_EQ(held_out_rounds(options), (std::vector<int>{48, 48, 48, 48}));
  EXPECT_EQ(sequence_rules(options).problems, 192);
  EXPECT_EQ(options_from_json(to_json(options))->held_out, 192);
  options.job.confirm_problems = 96;
  EXPECT_EQ(held_out_rounds(options).size(), 2u) << "who says how many is asked so many";
  EXPECT_EQ(after(1500), 0);
  options.job.confirm_problems = 0;
  EXPECT_EQ(settled_held_out(options, CandidateHistory()), 0) << "not known what a problem costs";
}

}  // namespace
}  // namespace vortex::study
