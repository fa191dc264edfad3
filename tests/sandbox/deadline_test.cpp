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

// What a worker that starts at 0, and whose first stage is read of at 6 only, says of it at 9.
bool believes(double seconds) {
  const ExecutorOptions options;
  job::Job job;
  job.model_path = "/nowhere";
  job.stages = {job::Stage::kCompile, job::Stage::kRace};
  const std::function<void(const job::StageResult&)> nobody;
  ClimbListener listener(job, options, nobody);
  listener.start(0);
  listener.take_output(job::event_frame(job::Hello{job::kProtocolVersion, "build"}), 1);
  listener.take_output(job::event_frame(job::StageStart{job::Stage::kCompile, 0}), 6);
  job::StageResult result;
  result.stage = job::Stage::kCompile;
  result.verdict = job::Verdict::kFail;
  result.blame = Blame::kCandidate;
  result.seconds = seconds;
  result.evidence = {{"measured", false}};
  listener.take_output(job::event_frame(result), 9);
  return listener.finished() && !listener.misbehaved();
}

TEST(Deadline, AStageMayHaveStartedBeforeItWasReadThatItDid) {
  EXPECT_TRUE(believes(3));
  EXPECT_TRUE(believes(8)) << "the reader was stopped from 1 to 6";
  EXPECT_FALSE(believes(10));
}

}  // namespace
}  // namespace vortex::sandbox
