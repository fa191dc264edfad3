#include "study/baseline.h"

#include <gtest/gtest.h>

namespace vortex::study {
namespace {

constexpr int kLimit = 24;

CandidateHistory dense(int right, int problems, int tokens, const std::string& extracted) {
  CandidateHistory history;
  history.row.id = 1;
  history.row.origin = db::Origin::kDense;
  db::StageRow race;
  race.candidate = 1;
  race.attempt = 1;
  race.stage = job::Stage::kRace;
  race.verdict = job::Verdict::kPass;
  history.stages.push_back(race);
  for (int i = 0; i < problems; ++i) {
    db::OutcomeRow outcome;
    outcome.candidate = 1;
    outcome.attempt = 1;
    outcome.stage = job::Stage::kRace;
    outcome.problem = "p" + std::to_string(i);
    outcome.correct = i < right;
    outcome.tokens = tokens;
    outcome.extracted = outcome.correct ? "42" : extracted;
    history.outcomes.push_back(outcome);
  }
  return history;
}

SearchOptions options() {
  SearchOptions made;
  made.job.task.max_new_tokens = kLimit;
  return made;
}

TEST(Baseline, AGoodOneHasNoFaults) {
  EXPECT_TRUE(baseline_faults(dense(20, 24, 5, "7"), options()).empty());
  EXPECT_TRUE(baseline_note(dense(20, 24, 5, "7")).empty());
}

TEST(Baseline, OneThatIsNeverRightLetsEveryPolicyWin) {
  EXPECT_EQ(baseline_faults(dense(0, 24, 5, "7"), options()).size(), 1u);
  EXPECT_EQ(baseline_faults(dense(3, 24, 5, "7"), options()).size(), 1u) << "its interval reaches down to the margin";
  SearchOptions narrow = options();
  narrow.margin = 0.02;
  EXPECT_TRUE(baseline_faults(dense(6, 24, 5, "7"), narrow).empty());
}

TEST(Baseline, AnswersThatWereCutOrCannotBeReadAreFaults) {
  const auto cut = baseline_faults(dense(10, 24, kLimit, "7"), options());
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_NE(cut[0].find("cut at the limit of 24 tokens"), std::string::npos);
  const auto unread = baseline_faults(dense(10, 24, 5, ""), options());
  ASSERT_EQ(unread.size(), 1u);
  EXPECT_NE(unread[0].find("nothing could be read"), std::string::npos);
  EXPECT_TRUE(baseline_faults(dense(24, 24, kLimit, ""), options()).empty()) << "right answers may be cut";
}

TEST(Baseline, OneThatIsAlwaysRightIsToldAndNoFault) {
  EXPECT_TRUE(baseline_faults(dense(24, 24, 5, "7"), options()).empty());
  EXPECT_NE(baseline_note(dense(24, 24, 5, "7")).find("all 24"), std::string::npos);
}

TEST(Baseline, ThreeOfItsAnswersAreShownWrongOnesFirst) {
  const std::string shown = sample_answers(dense(22, 24, 5, "7"));
  EXPECT_NE(shown.find("p22: read \"7\""), std::string::npos);
  EXPECT_NE(shown.find("wrong"), std::string::npos);
  EXPECT_NE(shown.find("right"), std::string::npos);
}

TEST(Baseline, AcceptedFaultsAreSaidOnEveryPage) {
  History history;
  history.candidates.push_back(dense(0, 24, 5, "7"));
  EXPECT_NE(baseline_warning(history, options()).find("tells nothing"), std::string::npos);
  history.candidates[0] = dense(20, 24, 5, "7");
  EXPECT_TRUE(baseline_warning(history, options()).empty());
}

}  // namespace
}  // namespace vortex::study
