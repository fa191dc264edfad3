#include "core/engine/bench/regress/register.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "base/date.h"
#include "base/json.h"
#include "base/json_reader.h"
#include "base/text.h"

namespace vortex::bench {
namespace {

using nlohmann::ordered_json;

constexpr double kAlsoCounted = 0.01;  // of the limit: special functions count by the copy beside them
constexpr double kBeyond = 0.025;      // on each side of an interval

double rounded(double value) { return std::stod(fixed(value, 4)); }

SpeedEntry read_entry(const nlohmann::json& json, const std::string& path, Status& status) {
  SpeedEntry entry;
  JsonReader reader(json, path);
  reader.required("name", entry.name);
  reader.required("percent", entry.percent);
  reader.required("low", entry.low);
  reader.required("high", entry.high);
  reader.required("milliseconds", entry.milliseconds);
  reader.required("megabytes", entry.megabytes);
  reader.required("turns", entry.turns);
  if (!(entry.low > 0 && entry.low <= entry.percent && entry.percent <= entry.high)) {
    reader.refuse("percent", "must be positive and lie between low and high");
  }
  if (!(entry.milliseconds > 0)) { reader.refuse("milliseconds", "must be positive"); }
  if (!(entry.megabytes > 0)) { reader.refuse("megabytes", "must be positive"); }
  if (entry.turns < 1) { reader.refuse("turns", "must be at least 1"); }
  status = reader.finish();
  return entry;
}

const SpeedEntry* find(const std::vector<SpeedEntry>& entries, const std::string& name) {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

// The entry as if the limit model had counted `megabytes`.
SpeedEntry counted_as(SpeedEntry entry, double megabytes) {
  const double scale = megabytes / entry.megabytes;
  for (double* value : {&entry.percent, &entry.low, &entry.high}) { *value *= scale; }
  entry.megabytes = megabytes;
  return entry;
}

SpeedChange change_of(const SpeedEntry* recorded, const SpeedEntry& now) {
  SpeedChange change;
  change.name = now.name;
  change.now = now;
  if (recorded == nullptr) {
    change.standing = Standing::kNew;
    return change;
  }
  change.recorded = *recorded;
  change.counted_anew = std::abs(now.megabytes / recorded->megabytes - 1) > kAlsoCounted;
  change.now = counted_as(now, recorded->megabytes);
  change.change = change.now->percent / recorded->percent - 1;
  if (change.now->high < recorded->low) { change.standing = Standing::kLost; }
  if (change.now->low > recorded->high) { change.standing = Standing::kGained; }
  return change;
}

std::string with_interval(const std::optional<SpeedEntry>& entry) {
  if (!entry) { return "-"; }
  return fixed(entry->percent, 1) + " (" + fixed(entry->low, 1) + "-" + fixed(entry->high, 1) + ")";
}

}  // namespace

std::string record_file_name(std::string_view device) {
  std::string name;
  for (const char c : lower_ascii(device)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain) {
      name += c;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (name.ends_with('-')) { name.pop_back(); }
  return (name.empty() ? "device" : name) + ".json";
}

Result<SpeedRecord> parse_speed_record(std::string_view text, const std::string& file) {
  const std::string remedy = "write it anew with `vortex bench regress --record`";
  const nlohmann::json json = parse_json(text);
  if (!json.is_object()) { return candidate_error(file + " is not a JSON object", remedy); }
  SpeedRecord record;
  JsonReader reader(json, file);
  reader.required("device", record.device);
  reader.required("command", record.command);
  reader.required("build", record.build);
  reader.required("date", record.date);
  reader.required("runs", record.runs);
  if (!is_date(record.date)) { reader.refuse("date", "must be a day, as 2026-01-31"); }
  if (record.runs < 1) { reader.refuse("runs", "must be at least 1"); }
  const nlohmann::json* cases = reader.find("cases", true);
  if (cases != nullptr && !cases->is_array()) { reader.refuse("cases", "must be a list"); }
  std::set<std::string> names;
  for (size_t i = 0; cases != nullptr && cases->is_array() && i < cases->size(); ++i) {
    Status status = ok_status();
    record.cases.push_back(read_entry((*cases)[i], file + ".cases[" + std::to_string(i) + "]", status));
    reader.take(status);
    if (!names.insert(record.cases.back().name).second) {
      reader.refuse("cases", "names " + record.cases.back().name + " twice");
    }
  }
  const Status status = reader.finish();
  if (!status.ok()) { return candidate_error(status.error().message, remedy); }
  return record;
}

std::string format_speed_record(const SpeedRecord& record) {
  ordered_json json = {{"device", record.device}, {"command", record.command}, {"build", record.build},
                       {"date", record.date},     {"runs", record.runs},       {"cases", ordered_json::array()}};
  for (const SpeedEntry& entry : record.cases) {
    json["cases"].push_back({{"name", entry.name},
                             {"percent", rounded(entry.percent)},
                             {"low", rounded(entry.low)},
                             {"high", rounded(entry.high)},
                             {"milliseconds", rounded(entry.milliseconds)},
                             {"megabytes", rounded(entry.megabytes)},
                             {"turns", entry.turns}});
  }
  return json.dump(2) + "\n";
}

MedianInterval median_interval(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  if (n == 0) { return {}; }
  // Fewer than `skip` of n samples lie below the median with the probability of so few heads in n throws.
  size_t skip = 0;
  double term = std::pow(0.5, static_cast<double>(n));
  for (double below = term; below <= kBeyond && 2 * (skip + 1) < n; below += term) {
    ++skip;
    term *= static_cast<double>(n - skip + 1) / static_cast<double>(skip);
  }
  const size_t low = skip == 0 ? 0 : skip - 1;
  return {(samples[(n - 1) / 2] + samples[n / 2]) / 2, samples[low], samples[n - 1 - low]};
}

SpeedEntry entry_of(const SpeedSamples& samples) {
  SpeedEntry entry;
  entry.name = samples.name;
  entry.megabytes = samples.bytes * 1e-6;
  std::vector<double> all;
  for (const std::vector<double>& run : samples.copied) {
    const MedianInterval interval = median_interval(run);
    const double low = 100 * samples.bytes / interval.high;
    entry.low = all.empty() ? low : std::min(entry.low, low);
    entry.high = std::max(entry.high, 100 * samples.bytes / interval.low);
    all.insert(all.end(), run.begin(), run.end());
  }
  entry.turns = static_cast<int>(all.size());
  entry.percent = 100 * samples.bytes / median_interval(std::move(all)).median;
  entry.milliseconds = median_interval(samples.seconds).median * 1e3;
  return entry;
}

std::string_view standing_name(Standing standing) {
  constexpr std::string_view kNames[] = {"as recorded", "lost", "gained", "new", "gone"};
  return kNames[static_cast<size_t>(standing)];
}

std::vector<SpeedChange> compare_speed(const SpeedRecord& record, const std::vector<SpeedEntry>& now, bool whole) {
  std::vector<SpeedChange> changes;
  for (const SpeedEntry& entry : now) { changes.push_back(change_of(find(record.cases, entry.name), entry)); }
  for (const SpeedEntry& entry : record.cases) {
    if (!whole || find(now, entry.name) != nullptr) { continue; }
    SpeedChange gone;
    gone.name = entry.name;
    gone.recorded = entry;
    gone.standing = Standing::kGone;
    changes.push_back(gone);
  }
  return changes;
}

std::string change_table(const std::vector<SpeedChange>& changes) {
  std::string text;
  const auto line = [&](const std::string& name, const std::string& recorded, const std::string& now,
                        const std::string& ms, const std::string& change, std::string_view standing) {
    char buffer[160];
    std::snprintf(buffer, sizeof(buffer), "%-26s %-20s %-20s %10s %8s  %.*s\n", name.c_str(), recorded.c_str(),
                  now.c_str(), ms.c_str(), change.c_str(), static_cast<int>(standing.size()), standing.data());
    std::string trimmed = buffer;
    trimmed.erase(trimmed.find_last_not_of(" \n") + 1);
    text += trimmed + "\n";
  };
  line("case, % of the limit", "recorded", "now", "ms", "change", "");
  for (const SpeedChange& change : changes) {
    char percent[24];
    std::snprintf(percent, sizeof(percent), "%+.1f %%", 100 * change.change);
    line(change.name, with_interval(change.recorded), with_interval(change.now),
         change.now ? fixed(change.now->milliseconds, 3) : "-", change.recorded && change.now ? percent : "-",
         change.standing == Standing::kAsRecorded ? "" : standing_name(change.standing));
  }
  return text;
}

SpeedRecord updated(SpeedRecord record, const std::vector<SpeedEntry>& now) {
  for (const SpeedEntry& entry : now) {
    const auto known = std::find_if(record.cases.begin(), record.cases.end(),
                                    [&](const SpeedEntry& one) { return one.name == entry.name; });
    if (known == record.cases.end()) {
      record.cases.push_back(entry);
    } else {
      *known = entry;
    }
  }
  return record;
}

}  // namespace vortex::bench
