#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/date.h"
#include "base/files.h"
#include "base/percent.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "base/text.h"

namespace vortex {
namespace {

class TempFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "vortex-base-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

Result<int> half(int x) {
  if (x % 2 != 0) { return candidate_error("odd"); }
  return x / 2;
}
Result<int> quarter(int x) {
  VORTEX_ASSIGN(const int h, half(x));
  VORTEX_ASSIGN(const int q, half(h));
  return q;
}

TEST(Date, KnowsTheCalendar) {
  for (const char* day : {"2024-07-26", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"}) {
    EXPECT_TRUE(is_date(day)) << day;
  }
  for (const char* text : {"", "2024-7-26", "2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "2024-01-00",
                           "24-07-26", "2024/07/26", "2024-07-26 ", "-024-07-26", "2024-07-2x"}) {
    EXPECT_FALSE(is_date(text)) << text;
  }
}

TEST(Result, CarriesTheValueOrTheError) {
  EXPECT_EQ(*quarter(8), 2);
  ASSERT_FALSE(quarter(6).ok());
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_EQ(quarter(6).error().blame, Blame::kCandidate);
}

TEST(Result, BlameNamesRoundTripAndMapToExitCodes) {
  for (Blame blame : {Blame::kCandidate, Blame::kEnvironment, Blame::kInternal}) {
    EXPECT_EQ(blame_from_name(blame_name(blame)), blame);
  }
  EXPECT_EQ(blame_from_name("nobody"), std::nullopt);
  EXPECT_EQ(exit_code(Blame::kCandidate), 1);
  EXPECT_EQ(exit_code(Blame::kInternal), 2);
  EXPECT_EQ(exit_code(Blame::kEnvironment), 3);
}

TEST(Sha256, MatchesThePublishedVectors) {  // FIPS 180-4 examples
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Rng, StreamsAreReproducibleAndDistinct) {
  Rng a(stream_key(1, 2, 3));
  Rng b(stream_key(1, 2, 3));
  std::set<uint64_t> keys;
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(a.next(), b.next());
    keys.insert(stream_key(i));
    keys.insert(stream_key(0, i));
    keys.insert(stream_key(0, 0, i));
  }
  EXPECT_EQ(keys.size(), 298U);  // stream_key(0), (0, 0) and (0, 0, 0) are one key
}

TEST(Rng, UniformStaysInRangeWithTheRightMean) {
  Rng rng(7);
  double sum = 0;
  for (int i = 0; i < 20000; ++i) {
    const double u = rng.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 20000, 0.5, 0.01);  // standard error 0.002
  std::set<int> seen;
  for (int i = 0; i < 200; ++i) { seen.insert(rng.between(-1, 2)); }
  EXPECT_EQ(seen, (std::set<int>{-1, 0, 1, 2}));
}

TEST(Text, NearestWordFindsMisspellingsOnly) {
  const std::vector<std::string> known = {"vortex_topk_val", "vortex_block_size"};
  EXPECT_EQ(nearest_word("vortex_topk_vall", known), "vortex_topk_val");
  EXPECT_EQ(nearest_word("temperature", known), std::nullopt);
}

TEST(Text, NumbersPrintShortAndExact) {
  EXPECT_EQ(format_number(2.0), "2");
  EXPECT_EQ(format_number(0.1), "0.1");
  EXPECT_EQ(format_number(1e-12), "1e-12");
  EXPECT_EQ(percent(2.0 / 3), "66.7 %");
  EXPECT_EQ(percent(0.00125), "0.125 %");
  EXPECT_EQ(percent(1), "100 %");
  EXPECT_EQ(join({"a", "b"}, ", "), "a, b");
  EXPECT_EQ(split_lines("a\nb\n"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(split_lines("a\n\nb"), (std::vector<std::string>{"a", "", "b"}));
}

TEST_F(TempFolder, AtomicWriteReplacesAndLeavesNoTemporaries) {
  const auto path = folder_ / "deep" / "file";
  ASSERT_TRUE(write_file_atomic(path, "one").ok());
  ASSERT_TRUE(write_file_atomic(path, "two").ok());
  EXPECT_EQ(*read_file(path), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path.parent_path()), {}), 1);
}

// Processes in jails, or on other machines, may have one process id, as threads have.
TEST_F(TempFolder, WritersOfOneFileDoNotDisturbEachOther) {
  const auto path = folder_ / "file";
  std::atomic<int> failed = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&, i] {
      for (int n = 0; n < 25; ++n) {
        failed += write_file_atomic(path, std::string(5000, static_cast<char>('a' + i))).ok() ? 0 : 1;
      }
    });
  }
  for (std::thread& writer : writers) { writer.join(); }
  EXPECT_EQ(failed, 0);
  const std::string left = *read_file(path);
  EXPECT_EQ(left, std::string(5000, left.front()));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(TempFolder, ReadErrorsNameTheFile) {
  const auto missing = read_file(folder_ / "missing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().blame, Blame::kCandidate);
  EXPECT_NE(missing.error().message.find("missing"), std::string::npos);
  EXPECT_FALSE(read_file(folder_).ok());
}

// A write that runs out of space keeps the old file whole. The limit is set in a child so that nothing else feels it.
TEST_F(TempFolder, AFailedWriteKeepsTheOldFile) {
  const auto path = folder_ / "file";
  ASSERT_TRUE(write_file_atomic(path, "old").ok());
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = write_file_atomic(path, std::string(5000, 'x'));
    ::_exit(!status.ok() && status.error().blame == Blame::kEnvironment ? 0 : 1);
  }
  int exit_status = -1;
  ASSERT_EQ(::waitpid(child, &exit_status, 0), child);
  EXPECT_EQ(exit_status, 0);
  EXPECT_EQ(*read_file(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

}  // namespace
}  // namespace vortex
