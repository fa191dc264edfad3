#include <gtest/gtest.h>

#include "sandbox/climb_listener.h"

namespace vortex::sandbox {
namespace {

TEST(Deadline, FollowsFromWhatTheStageShouldCost) {
  const ExecutorOptions options;
  EXPECT_EQ(stage_deadline(options, job::Stage::kRace, 0), 600);
  EXPECT_EQ(stage_deadline(options, job::Stage::kRace, 3), 90);
  EXPECT_EQ(stage_deadline(options, job::Stage::kRace, 2000), 20060);
  EXPECT_EQ(stage_deadline(options, job::Stage::kRace, 1e300), 86400) << "whatever a worker claims";
}

TEST(Deadline, IsTheUsersWhereSheSaysOne) {
  ExecutorOptions options;
  options.deadlines[job::Stage::kRace] = 5;
  EXPECT_EQ(stage_deadline(options, job::Stage::kRace, 1000), 5);
  EXPECT_EQ(stage_deadline(options, job::Stage::kSpeed, 1), 70);
}

}  // namespace
}  // namespace vortex::sandbox
