#include "evals/answer_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "evals/statistics.h"

namespace vortex::evals {
namespace {

// AnswerSheet to problems p0, p1, ..., each tried `trials` times; '1' is right.
std::vector<job::Outcome> outcomes(const std::string& pattern, int trials = 1, const std::string& name = "p") {
  std::vector<job::Outcome> all;
  for (size_t i = 0; i < pattern.size(); ++i) {
    job::Outcome outcome;
    outcome.problem = name + std::to_string(i / static_cast<size_t>(trials));
    outcome.trial = static_cast<int>(i) % trials;
    outcome.correct = pattern[i] == '1';
    all.push_back(outcome);
  }
  return all;
}

TEST(AnswerSheet, KeepWhatOutcomesSay) {
  std::string pattern;
  for (int i = 0; i < 150; ++i) { pattern += i % 3 == 0 ? '1' : '0'; }
  const AnswerSheet answers(outcomes(pattern, 2));
  EXPECT_EQ(answers.size(), 150u);
  EXPECT_EQ(answers.problems(), 75u);
  EXPECT_FALSE(answers.one_each());
  EXPECT_EQ(answers.count_right(), 50u);
  EXPECT_EQ(answers.question(149).problem, "p74");
  EXPECT_EQ(answers.question(149).trial, 1);
  EXPECT_EQ(answers.question(149).number, 74u);
  EXPECT_TRUE(answers.right(147));
  EXPECT_FALSE(answers.right(148));
  EXPECT_TRUE(AnswerSheet().empty());
}

TEST(AnswerSheet, ShareAListOnlyWhereTheQuestionsAreTheSame) {
  const AnswerSheet a(outcomes("1100"));
  AnswerSheet b(outcomes("1010"));
  EXPECT_FALSE(b.shares(a));
  EXPECT_TRUE(b.share(a));
  EXPECT_TRUE(b.shares(a));
  size_t won = 0;
  size_t lost = 0;
  a.compare(b, won, lost);
  EXPECT_EQ(won, 1u);
  EXPECT_EQ(lost, 1u);
  AnswerSheet others(outcomes("1010", 1, "q"));
  EXPECT_FALSE(others.share(a));
  AnswerSheet fewer(outcomes("101"));
  EXPECT_FALSE(fewer.share(a));
  EXPECT_FALSE(a == b);
  EXPECT_TRUE(b == AnswerSheet(outcomes("1010")));
}

// Sharing a list makes comparisons cheap; it must not change them.
TEST(AnswerSheet, SharingChangesNoInterval) {
  for (const int trials : {1, 2}) {
    const AnswerSheet a(outcomes("110110011010", trials));
    const AnswerSheet apart(outcomes("100111010010", trials));
    AnswerSheet together = apart;
    ASSERT_TRUE(together.share(a));
    const Interval one = paired_difference(a, apart, 5);
    const Interval other = paired_difference(a, together, 5);
    EXPECT_EQ(one.value, other.value);
    EXPECT_EQ(one.lo, other.lo);
    EXPECT_EQ(one.hi, other.hi);
    EXPECT_EQ(paired_mean(a, apart), paired_mean(a, together));
  }
}

// So does having been asked more, whatever the order of the rest.
TEST(AnswerSheet, FurtherAnswersOfOneSideChangeNoInterval) {
  for (const int trials : {1, 2}) {
    const AnswerSheet few(outcomes("110110011010", trials));
    std::vector<job::Outcome> more = outcomes("1001110100101101", trials);
    const AnswerSheet in_order(more);
    std::reverse(more.begin(), more.end());
    const AnswerSheet backwards(more);
    for (const bool swapped : {false, true}) {
      const Interval one = swapped ? paired_difference(in_order, few, 5) : paired_difference(few, in_order, 5);
      const Interval other = swapped ? paired_difference(backwards, few, 5) : paired_difference(few, backwards, 5);
      EXPECT_EQ(one.value, other.value);
      EXPECT_NEAR(one.lo, other.lo, swapped ? 0.02 : 0) << "resampled in another order";
      EXPECT_NEAR(one.hi, other.hi, swapped ? 0.02 : 0);
    }
  }
}

// Of 16 answers with 12 right the shares that mid-P does not refuse.
TEST(AnswerSheet, OneTrialAProblemNeedsNoDrawing) {
  const Interval interval = accuracy_interval(outcomes("1111111111110000"), 1);
  EXPECT_EQ(interval.value, 0.75);
  EXPECT_NEAR(interval.lo, 0.498817, 1e-6);
  EXPECT_NEAR(interval.hi, 0.916113, 1e-6);
  EXPECT_EQ(accuracy_interval(outcomes("1111111111110000"), 2).lo, interval.lo) << "no seed is asked";
}

}  // namespace
}  // namespace vortex::evals
