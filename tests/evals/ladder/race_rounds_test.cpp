#include "evals/ladder/race_rounds.h"

#include <gtest/gtest.h>

#include "evals/ladder/session.h"

namespace vortex::evals {
namespace {

// Dense attention on 16 chains of so many definitions, all decoded together, beside an incumbent that answered them
// all.
std::unique_ptr<Session> session_of(int definitions) {
  job::Job job;
  job.id = "dense";
  job.device = "cpu";
  job.dense = true;
  job.model_path = std::string(VORTEX_SOURCE_DIR) + "/models/chain-4m";
  job.batch = 16;
  job.task.definitions = definitions;
  job.task.problems = 16;
  job.task.max_new_tokens = 4;
  auto session = open_session(job);
  EXPECT_TRUE(session.ok()) << session.error().message;
  if (!session.ok()) { return nullptr; }
  for (const PreparedProblem& prepared : (*session)->problems) {
    job::Outcome outcome;
    outcome.problem = prepared.problem.id;
    outcome.tokens = 4;
    (*session)->job.incumbent.push_back(outcome);
  }
  return std::move(*session);
}

TEST(FirstRound, AsksAllAtOnceWhereWeightsAreMostOfAStep) {
  const auto session = session_of(16);
  ASSERT_NE(session, nullptr);
  session->driver = 1;  // as if on a device
  EXPECT_EQ(first_round(*session), 16U);
}

TEST(FirstRound, AsksFewWhereKeysAndValuesAre) {
  const auto session = session_of(400);
  ASSERT_NE(session, nullptr);
  session->driver = 1;
  EXPECT_EQ(first_round(*session), 8U);
}

TEST(FirstRound, AsksFewOnACpu) {
  const auto session = session_of(16);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(first_round(*session), 8U);
}

TEST(FirstRound, AsksAllWhereNobodyIsThereToLoseTo) {
  const auto session = session_of(16);
  ASSERT_NE(session, nullptr);
  session->job.incumbent.clear();
  EXPECT_EQ(first_round(*session), 16U);
}

}  // namespace
}  // namespace vortex::evals
