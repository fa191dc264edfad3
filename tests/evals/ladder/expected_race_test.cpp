#include "evals/ladder/expected_race.h"

#include <gtest/gtest.h>

namespace vortex::evals {
namespace {

// Twenty problems of one greedy answer; dense attention answered all of them and is right in all.
class ExpectedRaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 20; ++i) {
      PreparedProblem prepared;
      prepared.spec = &spec_;
      prepared.problem.id = "p" + std::to_string(i);
      prepared.problem.answers = {"42"};
      session_.problems.push_back(std::move(prepared));
      session_.job.incumbent.push_back(outcome(i, true));
    }
    session_.expected.own.assign(20, true);
    session_.expected.dense.assign(20, true);
  }

  static job::Outcome outcome(int problem, bool correct) {
    job::Outcome outcome;
    outcome.problem = "p" + std::to_string(problem);
    outcome.correct = correct;
    return outcome;
  }

  // Graded answers to the first `count` problems, as expected but for the first `surprises`.
  std::vector<job::Outcome> graded(int count, int surprises) const {
    std::vector<job::Outcome> outcomes;
    for (int i = 0; i < count; ++i) {
      outcomes.push_back(outcome(i, session_.expected.own[static_cast<size_t>(i)] != (i < surprises)));
    }
    return outcomes;
  }

  job::TaskSpec spec_;
  Session session_;
};

TEST_F(ExpectedRaceTest, FillsInWhatIsNotAsked) {
  for (size_t i = 4; i < 20; ++i) { session_.expected.own[i] = false; }
  const auto race = expected_race(session_, graded(8, 0));
  ASSERT_TRUE(race.has_value());
  EXPECT_DOUBLE_EQ(race->difference.value, -16.0 / 20) << "4 of 20 right, 4 of them asked";
  EXPECT_LT(race->difference.hi, -0.4);
  EXPECT_DOUBLE_EQ(race->doubt, 1.0 / (8 + 20 + 2)) << "no surprise in 28 graded answers";
}

TEST_F(ExpectedRaceTest, GradedAnswersCountBeforeExpectedOnes) {
  const auto race = expected_race(session_, graded(8, 2));
  ASSERT_TRUE(race.has_value());
  EXPECT_DOUBLE_EQ(race->difference.value, -2.0 / 20);
  EXPECT_DOUBLE_EQ(race->doubt, 3.0 / 30);
}

TEST_F(ExpectedRaceTest, ForcedAnswersAloneLoseARaceThatIsSurelyLost) {
  session_.job.race_margin = 0.25;
  EXPECT_FALSE(surely_lost(*expected_race(session_, {}), session_)) << "as right as dense attention";
  session_.expected.own.assign(20, false);
  const auto race = expected_race(session_, {});
  EXPECT_TRUE(surely_lost(*race, session_));
  EXPECT_NE(lost_text(*race, session_).find("of all 20 problems"), std::string::npos);
  // Where forcing does not tell what dense attention was graded, nothing is concluded from it.
  session_.expected.dense.assign(20, false);
  EXPECT_FALSE(surely_lost(*expected_race(session_, {}), session_));
  session_.expected.dense.assign(20, true);
  session_.job.incumbent.resize(7);
  EXPECT_FALSE(surely_lost(*expected_race(session_, {}), session_)) << "too few graded answers";
}

TEST_F(ExpectedRaceTest, SaysNothingWithoutForcedAnswersOrWithSampledOnes) {
  spec_.temperature = 0.6;
  EXPECT_FALSE(expected_race(session_, graded(8, 0)).has_value());
  spec_.temperature = 0;
  spec_.trials = 2;
  EXPECT_FALSE(expected_race(session_, graded(8, 0)).has_value());
  spec_.trials = 1;
  session_.problems[3].problem.answers.push_back("43");
  EXPECT_FALSE(expected_race(session_, graded(8, 0)).has_value());
  session_.problems[3].problem.answers.pop_back();
  EXPECT_TRUE(expected_race(session_, graded(8, 0)).has_value());
  const std::vector<job::Outcome> outcomes = graded(8, 0);
  session_.expected = {};
  EXPECT_FALSE(expected_race(session_, outcomes).has_value());
}

}  // namespace
}  // namespace vortex::evals
