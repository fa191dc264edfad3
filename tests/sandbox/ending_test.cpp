#include "sandbox/ending.h"

#include <gtest/gtest.h>

#include <csignal>

namespace vortex::sandbox {
namespace {

using job::Stage;
using job::Verdict;

TEST(Verdict, MemoryLimitOrWantOfMemory) {
  Exit killed;
  killed.wait_status = SIGKILL;
  killed.peak_bytes = 900;
  const auto at_limit = unfinished_result(Stage::kRace, Ending::kDied, killed, {1000, 0}, "");
  EXPECT_EQ(at_limit.verdict, Verdict::kFail);
  EXPECT_EQ(at_limit.blame, Blame::kCandidate);
  const auto below = unfinished_result(Stage::kRace, Ending::kDied, killed, {2000, 0}, "");
  EXPECT_EQ(below.verdict, Verdict::kError);
  EXPECT_EQ(below.blame, Blame::kEnvironment);
  const auto unlimited = unfinished_result(Stage::kRace, Ending::kDied, killed, {0, 0}, "");
  EXPECT_EQ(unlimited.blame, Blame::kEnvironment);
  EXPECT_EQ(unlimited.evidence.at("exit").at("signal"), "SIGKILL");
}

TEST(Verdict, TheKernelsWordOnMemoryCounts) {
  Exit killed;
  killed.wait_status = SIGKILL;
  killed.memory_kills = 1;
  EXPECT_EQ(unfinished_result(Stage::kRace, Ending::kDied, killed, {1000, 0}, "").blame, Blame::kCandidate);
  const auto unlimited = unfinished_result(Stage::kRace, Ending::kDied, killed, {0, 0}, "");
  EXPECT_EQ(unlimited.blame, Blame::kEnvironment) << "nobody set a limit: the machine is too small";
  EXPECT_NE(unlimited.message.find("most of the machine's memory"), std::string::npos);
}

TEST(Verdict, WhoIsToBlame) {
  struct Case {
    int signal;
    Verdict verdict;
    Blame blame;
  };
  for (const Case& one :
       {Case{SIGXCPU, Verdict::kTimeout, Blame::kCandidate}, Case{SIGXFSZ, Verdict::kFail, Blame::kCandidate},
        Case{SIGSYS, Verdict::kFail, Blame::kCandidate}, Case{SIGSEGV, Verdict::kError, Blame::kInternal},
        Case{SIGABRT, Verdict::kError, Blame::kInternal}, Case{SIGTERM, Verdict::kError, Blame::kInternal}}) {
    Exit exit;
    exit.wait_status = one.signal;
    const auto result = unfinished_result(Stage::kRace, Ending::kDied, exit, {}, "");
    EXPECT_EQ(result.verdict, one.verdict) << one.signal;
    EXPECT_EQ(result.blame, one.blame) << one.signal;
  }
  const auto still = unfinished_result(Stage::kRace, Ending::kStoodStill, {}, {}, "");
  EXPECT_EQ(still.blame, Blame::kEnvironment);
  EXPECT_EQ(still.evidence.at("exit").at("how"), "stood still");
}

}  // namespace
}  // namespace vortex::sandbox
