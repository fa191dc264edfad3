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

TEST(Deadline, LetsWorkersThatShareAGpuWaitForEachOther) {
  const ExecutorOptions options;
  job::Job job;
  job.model_path = "/nowhere";
  job.stages = {job::Stage::kRace};
  job.device_sharers = 3;
  const auto overdue_after = [&](double seconds) {
    ClimbListener listener(job, options, {}, {});
    listener.start(0);
    listener.take_output(job::event_frame(job::Hello{job::kProtocolVersion, "build"}), 1);
    return listener.overdue(1 + seconds).has_value();
  };
  EXPECT_TRUE(overdue_after(options.idle_seconds + 1));
  job.turn_descriptor = 3;
  EXPECT_FALSE(overdue_after(3 * options.idle_seconds - 1));
  EXPECT_TRUE(overdue_after(3 * options.idle_seconds + 1));
}

}  // namespace
}  // namespace vortex::sandbox
