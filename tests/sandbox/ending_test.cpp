#include "sandbox/ending.h"

#include <gtest/gtest.h>

namespace vortex::sandbox {
namespace {

TEST(Ending, MemoryLimitOrWantOfMemory) {
  Exit killed;
  killed.wait_status = 9;
  killed.peak_bytes = 900;
  const auto at_limit = unfinished_result(job::Stage::kRace, Ending::kDied, killed, 1000, 0, "");
  EXPECT_EQ(at_limit.verdict, job::Verdict::kFail);
  EXPECT_EQ(at_limit.blame, Blame::kCandidate);
  const auto below = unfinished_result(job::Stage::kRace, Ending::kDied, killed, 2000, 0, "");
  EXPECT_EQ(below.verdict, job::Verdict::kError);
  EXPECT_EQ(below.blame, Blame::kEnvironment);
  const auto unlimited = unfinished_result(job::Stage::kRace, Ending::kDied, killed, 0, 0, "");
  EXPECT_EQ(unlimited.blame, Blame::kEnvironment);
  EXPECT_EQ(unlimited.evidence.at("exit").at("signal"), "SIGKILL");
}

}  // namespace
}  // namespace vortex::sandbox
