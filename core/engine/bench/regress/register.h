// The register of speed: how near to the limit model a device came, case by case, kept as a file a device
// (docs/benchmarks/register), and whether it still does. Knows no engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vortex::bench {

// One case on one device. The limit model's least time (core/engine/limit.h) over the time that was measured, in
// percent, with the bandwidth of a copy in the same turn: what else a machine does slows both.
struct SpeedEntry {
  std::string name;
  double percent = 0;       // median over all turns
  double low = 0;           // 95 % interval of the median; of several runs the lowest
  double high = 0;          // and the highest
  double milliseconds = 0;  // of one step, of a trace's whole decoding: median
  double megabytes = 0;     // what the copy moves in the least time: the bytes that the limit model counts, or more
  int turns = 0;            // of all runs
};

struct SpeedRecord {
  std::string device;
  std::string command;
  std::string build;
  std::string date;  // YYYY-MM-DD
  int runs = 1;      // with an engine made anew for each
  std::vector<SpeedEntry> cases;
};

// "nvidia-h100-80gb-hbm3.json": letters and digits of the device's name.
std::string record_file_name(std::string_view device);

// The file's text; `file` is its name in messages. What is wrong with it is the candidate's fault: members that are
// missing, unknown or of another type, ratios that are no positive numbers or not in order, a name that stands twice.
Result<SpeedRecord> parse_speed_record(std::string_view text, const std::string& file);
std::string format_speed_record(const SpeedRecord& record);

// Seconds of a step, times bytes that a copy moved a second beside it, of every turn; a list a run.
struct SpeedSamples {
  std::string name;
  double bytes = 0;  // as SpeedEntry::megabytes
  std::vector<std::vector<double>> copied;
  std::vector<double> seconds;  // of all runs
};
// At least one sample a run.
SpeedEntry entry_of(const SpeedSamples& samples);

// The two-sided interval of the median that holds it with at least 95 % (order statistics); of fewer than six samples
// the smallest and the largest, which hold it less surely.
struct MedianInterval {
  double median = 0;
  double low = 0;
  double high = 0;
};
MedianInterval median_interval(std::vector<double> samples);

enum class Standing : uint8_t { kAsRecorded, kLost, kGained, kNew, kGone };
std::string_view standing_name(Standing standing);

// `lost` and `gained`: the intervals have nothing in common.
struct SpeedChange {
  std::string name;
  std::optional<SpeedEntry> recorded;
  std::optional<SpeedEntry> now;  // by what the record's limit model counted
  double change = 0;              // of the speed: 0.05 is 5 % faster
  Standing standing = Standing::kAsRecorded;
  bool counted_anew = false;  // the limit model counts other bytes today
};

// In the order of `now`. Where `whole`, recorded cases that were not measured follow, as gone.
std::vector<SpeedChange> compare_speed(const SpeedRecord& record, const std::vector<SpeedEntry>& now, bool whole);

// A table for people.
std::string change_table(const std::vector<SpeedChange>& changes);

// The record with what was measured now in place of the cases of these names, others as they are.
SpeedRecord updated(SpeedRecord record, const std::vector<SpeedEntry>& now);

}  // namespace vortex::bench
