#include "base/shared_memory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

namespace vortex {
namespace {

constexpr size_t kBytes = 10'000;  // no multiple of a page

Descriptor sealed_pattern() {
  SharedMemory memory = std::move(SharedMemory::make(kBytes)).value();
  for (size_t i = 0; i < kBytes; ++i) { memory.data()[i] = static_cast<char>(i * 7); }
  return std::move(std::move(memory).seal()).value();
}

TEST(SharedMemory, StartsOutZeroed) {
  const SharedMemory memory = std::move(SharedMemory::make(kBytes)).value();
  EXPECT_TRUE(std::all_of(memory.data(), memory.data() + kBytes, [](char c) { return c == 0; }));
}

TEST(SharedMemory, IsReadThroughItsDescriptorAfterThatIsClosed) {
  Descriptor fd = sealed_pattern();
  const auto mapped = map_descriptor(fd.get(), kBytes);
  ASSERT_TRUE(mapped.ok()) << mapped.error().message;
  fd.close();
  for (size_t i = 0; i < kBytes; ++i) { ASSERT_EQ((*mapped).get()[i], static_cast<char>(i * 7)) << i; }
}

TEST(SharedMemory, CannotBeChangedOnceSealed) {
  const Descriptor fd = sealed_pattern();
  char byte = 1;
  EXPECT_EQ(::pwrite(fd.get(), &byte, 1, 0), -1);
  EXPECT_EQ(::ftruncate(fd.get(), 1), -1);
  EXPECT_EQ(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), MAP_FAILED);
}

TEST(SharedMemory, AStrayWriteFaultsInItsWriterAlone) {
  const Descriptor fd = sealed_pattern();
  const auto mapped = std::move(map_descriptor(fd.get(), kBytes)).value();
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would say more than we want to hear
    *const_cast<volatile char*>(mapped.get()) = 99;
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
  EXPECT_EQ(mapped.get()[0], 0);
}

TEST(SharedMemory, RefusesMoreThanThereIs) {
  const Descriptor fd = sealed_pattern();
  for (const size_t bytes : {size_t{0}, kBytes + 1, size_t{1} << 40}) {
    const auto mapped = map_descriptor(fd.get(), bytes);
    ASSERT_FALSE(mapped.ok()) << bytes;
    EXPECT_EQ(mapped.error().blame, Blame::kEnvironment);
  }
  EXPECT_FALSE(map_descriptor(-1, kBytes).ok());
}

}  // namespace
}  // namespace vortex
