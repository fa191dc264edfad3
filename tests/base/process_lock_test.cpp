#include "base/process_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace vortex {
namespace {

TEST(ProcessLock, ManyHoldItTogetherOrOneAlone) {
  const ProcessLock lock = ProcessLock::make().value();
  const Descriptor first = lock.open().value();
  const Descriptor second = lock.open().value();
  const Descriptor third = lock.open().value();
  LockHolder one(first.get());
  LockHolder other(second.get());
  one.take_together();
  other.take_together();
  std::atomic<bool> released = false;
  std::atomic<bool> was_released = false;
  std::thread alone([&] {
    LockHolder holder(third.get());
    holder.take_alone();
    was_released = released.load();
    EXPECT_GT(holder.waited(), 0);
  });
  one.release();
  released = true;
  other.release();
  alone.join();
  EXPECT_TRUE(was_released);
}

TEST(ProcessLock, EndsWithTheProcessThatHeldIt) {
  const ProcessLock lock = ProcessLock::make().value();
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  Descriptor theirs = lock.open().value();
  const pid_t child = ::fork();
  if (child == 0) {
    LockHolder holder(theirs.get());
    holder.take_alone();
    (void)!::write(pipe[1], "x", 1);
    for (;;) { ::pause(); }
  }
  theirs.close();
  char byte = 0;
  ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
  const Descriptor ours = lock.open().value();
  LockHolder holder(ours.get());
  ::kill(child, SIGKILL);
  holder.take_together();
  EXPECT_TRUE(holder.is_there());
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(ProcessLock, WithoutOneNobodyWaits) {
  LockHolder none(-1);
  none.take_alone();
  none.take_together();
  none.release();
  EXPECT_FALSE(none.is_there());
  EXPECT_EQ(none.waited(), 0);
  LockHolder closed(1023);
  closed.take_alone();
  EXPECT_FALSE(closed.is_there()) << "what is no descriptor is no lock";
}

}  // namespace
}  // namespace vortex
