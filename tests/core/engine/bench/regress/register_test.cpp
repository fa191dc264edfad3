#include "core/engine/bench/regress/register.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace vortex::bench {
namespace {

std::string case_file(const std::string& name) {
  return read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/speed/" + name).value();
}

SpeedEntry entry(const std::string& name, double percent, double half, double megabytes = 1000) {
  return {name, percent, percent - half, percent + half, 1.0, megabytes, 9};
}

TEST(SpeedRecord, AFileIsReadAndWrittenAsItIs) {
  const std::string text = case_file("record.json");
  const Result<SpeedRecord> record = parse_speed_record(text, "r.json");
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->device, "A device, 2 threads");
  ASSERT_EQ(record->cases.size(), 2U);
  EXPECT_EQ(record->cases[1].name, "block_topk 64x8192");
  EXPECT_EQ(record->cases[1].low, 77.1);
  EXPECT_EQ(format_speed_record(*record), text);
}

TEST(SpeedRecord, WhatIsWrongIsSaidWithARemedy) {
  const nlohmann::json good = nlohmann::json::parse(case_file("record.json"));
  const nlohmann::json cases = nlohmann::json::parse(case_file("refused.json"));
  ASSERT_GT(cases.size(), 10U);
  for (const nlohmann::json& one : cases) {
    SCOPED_TRACE(one.dump());
    nlohmann::json changed = good;
    if (one.contains("remove")) { changed = good.patch({{{"op", "remove"}, {"path", one["remove"]}}}); }
    if (one.contains("add")) { changed[nlohmann::json::json_pointer(one["add"])] = one["value"]; }
    const Result<SpeedRecord> record = parse_speed_record(one.value("text", changed.dump()), "r.json");
    ASSERT_FALSE(record.ok());
    EXPECT_EQ(record.error().blame, Blame::kCandidate);
    EXPECT_NE(record.error().message.find(one["says"].get<std::string>()), std::string::npos) << record.error().message;
    EXPECT_NE(record.error().hint.find("--record"), std::string::npos);
  }
}

TEST(SpeedRecord, EveryFileOfTheRegisterIsReadAndNamedAfterItsDevice) {
  const std::filesystem::path folder = std::string(VORTEX_SOURCE_DIR) + "/docs/benchmarks/register";
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".json") { continue; }
    const Result<SpeedRecord> record = parse_speed_record(read_file(file.path()).value(), file.path().filename());
    ASSERT_TRUE(record.ok()) << record.error().message;
    EXPECT_EQ(file.path().filename(), record_file_name(record->device));
    ++files;
  }
  EXPECT_GE(files, 1);
}

TEST(SpeedRecord, FilesAreNamedAfterTheirDevice) {
  EXPECT_EQ(record_file_name("NVIDIA H100 80GB HBM3"), "nvidia-h100-80gb-hbm3.json");
  EXPECT_EQ(record_file_name("Some CPU @ 2.40GHz, 1 thread, avx2"), "some-cpu-2-40ghz-1-thread-avx2.json");
  EXPECT_EQ(record_file_name("../.."), "device.json");
}

// P(no more than k of n throws are heads) <= 0.025 says how many samples stay outside on each side.
TEST(SpeedRecord, TheMediansIntervalIsThatOfOrderStatistics) {
  std::vector<double> samples;
  for (const auto& [count, outside] : {std::pair{1, 0}, {5, 0}, {6, 0}, {8, 0}, {9, 1}, {11, 1}, {12, 2}, {27, 7}}) {
    samples.clear();
    for (int i = count; i > 0; --i) { samples.push_back(i); }
    const MedianInterval interval = median_interval(samples);
    EXPECT_EQ(interval.low, 1 + outside) << count;
    EXPECT_EQ(interval.high, count - outside) << count;
    EXPECT_EQ(interval.median, (count + 1) / 2.0);
  }
}

TEST(SpeedRecord, RunsCountTogether) {
  SpeedSamples samples;
  samples.name = "a";
  samples.bytes = 50e6;
  samples.copied = {{100e6, 101e6, 102e6}, {90e6, 95e6, 125e6}};
  samples.seconds = {0.001, 0.002, 0.003};
  const SpeedEntry one = entry_of(samples);
  EXPECT_EQ(one.turns, 6);
  EXPECT_NEAR(one.percent, 100 * 50 / 100.5, 1e-9);
  EXPECT_NEAR(one.low, 100 * 50 / 125.0, 1e-9);
  EXPECT_NEAR(one.high, 100 * 50 / 90.0, 1e-9);
  EXPECT_NEAR(one.milliseconds, 2, 1e-9);
  EXPECT_NEAR(one.megabytes, 50, 1e-9);
}

TEST(SpeedChange, IsLostOrGainedWhereIntervalsHaveNothingInCommon) {
  SpeedRecord record;
  record.cases = {entry("same", 80, 1), entry("lost", 80, 1), entry("gained", 80, 1), entry("near", 80, 1),
                  entry("gone", 80, 1)};
  const std::vector<SpeedEntry> now = {entry("same", 80.5, 1), entry("lost", 76, 2), entry("gained", 90, 1),
                                       entry("near", 77, 2), entry("new", 50, 1)};
  const std::vector<SpeedChange> changes = compare_speed(record, now, true);
  ASSERT_EQ(changes.size(), 6U);
  const Standing expected[] = {Standing::kAsRecorded, Standing::kLost, Standing::kGained,
                               Standing::kAsRecorded, Standing::kNew,  Standing::kGone};
  for (size_t i = 0; i < 6; ++i) { EXPECT_EQ(changes[i].standing, expected[i]) << changes[i].name; }
  EXPECT_NEAR(changes[1].change, -0.05, 1e-9);
  EXPECT_EQ(changes[5].name, "gone");
  EXPECT_EQ(compare_speed(record, now, false).size(), 5U);
}

// Half the bytes in the same time is no loss of speed.
TEST(SpeedChange, AnotherLimitModelIsNoOtherSpeed) {
  SpeedRecord record;
  record.cases = {entry("a", 80, 1, 1000)};
  const std::vector<SpeedChange> changes = compare_speed(record, {entry("a", 40, 0.5, 500)}, true);
  EXPECT_EQ(changes[0].standing, Standing::kAsRecorded);
  EXPECT_TRUE(changes[0].counted_anew);
  EXPECT_NEAR(changes[0].change, 0, 1e-12);
}

TEST(SpeedChange, TheTableSaysRecordedNowAndChange) {
  SpeedRecord record;
  record.cases = {entry("block_topk 64x8192", 77.6, 0.4)};
  EXPECT_EQ(change_table(compare_speed(record, {entry("block_topk 64x8192", 70, 0.5), entry("quest", 60, 1)}, true)),
            "case, % of the limit       recorded             now                          ms   change\n"
            "block_topk 64x8192         77.6 (77.2-78.0)     70.0 (69.5-70.5)          1.000   -9.8 %  lost\n"
            "quest                      -                    60.0 (59.0-61.0)          1.000        -  new\n");
}

TEST(SpeedRecord, NewFiguresTakeThePlaceOfOldOnes) {
  SpeedRecord record;
  record.cases = {entry("a", 80, 1), entry("b", 70, 1)};
  const SpeedRecord after = updated(record, {entry("b", 75, 1), entry("c", 60, 1)});
  ASSERT_EQ(after.cases.size(), 3U);
  EXPECT_EQ(after.cases[0].percent, 80);
  EXPECT_EQ(after.cases[1].percent, 75);
  EXPECT_EQ(after.cases[2].name, "c");
}

}  // namespace
}  // namespace vortex::bench
