#include "evals/ladder/rivals.h"

#include <gtest/gtest.h>

#include <cmath>

namespace vortex::evals {
namespace {

// Sixteen problems of one greedy answer, of which a rival makes a KL of 0.02 to 0.05.
class RivalsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 16; ++i) {
      PreparedProblem prepared;
      prepared.spec = &spec_;
      prepared.problem.answers = {"42"};
      session_.problems.push_back(std::move(prepared));
    }
    session_.job.rivals = {rival(7, 1000, 0)};
  }

  static job::Rival rival(int64_t candidate, double bytes, double more) {
    job::Rival rival{candidate, bytes, {}};
    for (int i = 0; i < 16; ++i) { rival.answer_kl.push_back(0.02 + 0.01 * (i % 4) + more); }
    return rival;
  }

  // Of problems that are harder, the more they are for all: what two policies share must not hide what they differ by.
  std::vector<AnswerProbe> probes(double more, double noise) {
    std::vector<AnswerProbe> all;
    for (size_t i = 0; i < 16; ++i) {
      AnswerProbe probe;
      probe.kl = session_.job.rivals[0].answer_kl[i] + more + (i % 2 == 0 ? noise : -noise);
      all.push_back(probe);
    }
    return all;
  }

  job::TaskSpec spec_;
  Session session_;
};

TEST_F(RivalsTest, WhoReadsNoLessAndIsSurelyWorseIsBeaten) {
  const auto beaten = beaten_by_rival(session_, probes(0.1, 0.02), 1000);
  ASSERT_TRUE(beaten.has_value());
  EXPECT_EQ(beaten->by, 7);
  EXPECT_NEAR(beaten->behind, 0.1, 1e-9);
  EXPECT_NEAR(beaten->at_least, 0.1 - 3 * 0.02 / std::sqrt(15.0), 1e-9);
  EXPECT_NE(beaten_text(*beaten).find("candidate 7"), std::string::npos);
  EXPECT_FALSE(beaten_by_rival(session_, probes(0.1, 0.02), 999).has_value()) << "it reads less";
}

TEST_F(RivalsTest, DoubtAndTriflesBeatNobody) {
  EXPECT_FALSE(beaten_by_rival(session_, probes(0.1, 0.2), 2000).has_value()) << "within three standard errors";
  EXPECT_FALSE(beaten_by_rival(session_, probes(0.02, 0), 2000).has_value()) << "sure, and no matter";
  EXPECT_FALSE(beaten_by_rival(session_, probes(-0.1, 0.02), 2000).has_value()) << "better";
}

TEST_F(RivalsTest, TheSurestIsNamed) {
  session_.job.rivals.push_back(rival(8, 3000, -0.02));
  session_.job.rivals.push_back(rival(9, 900, -0.01));
  EXPECT_EQ(beaten_by_rival(session_, probes(0.1, 0.02), 1000)->by, 9) << "8 reads more";
}

TEST_F(RivalsTest, OtherProblemsAndSampledAnswersTellNothing) {
  const std::vector<AnswerProbe> worse = probes(0.1, 0.02);
  spec_.temperature = 0.6;
  EXPECT_FALSE(beaten_by_rival(session_, worse, 2000).has_value());
  spec_.temperature = 0;
  EXPECT_TRUE(beaten_by_rival(session_, worse, 2000).has_value());
  session_.job.rivals[0].answer_kl.pop_back();
  EXPECT_FALSE(beaten_by_rival(session_, worse, 2000).has_value());
}

}  // namespace
}  // namespace vortex::evals
