#include "cli/front_table.h"

#include <algorithm>

#include "agent/archive.h"
#include "agent/standing.h"

namespace vortex::cli {
namespace {

std::string optional_text(const std::optional<evals::Interval>& interval, int digits) {
  return interval ? interval_text(*interval, digits) : "-";
}

nlohmann::json optional_json(const std::optional<evals::Interval>& interval) {
  return interval ? interval_json(*interval) : nlohmann::json();
}

// The first part of what its parents or its rationale say.
std::string made_by(const agent::CandidateHistory& candidate) {
  constexpr size_t kShown = 44;
  std::string text = candidate.row.rationale;
  if (!candidate.parents.empty()) {
    text = "from #" + std::to_string(candidate.parents.front().parent) + ": " + candidate.parents.front().operation;
  } else {
    text = text.substr(0, text.find(':'));
  }
  return text.size() <= kShown ? text : text.substr(0, kShown - 3) + "...";
}

}  // namespace

std::optional<evals::Interval> stage_metric(const agent::CandidateHistory& candidate, std::string_view stage,
                                            std::string_view metric) {
  const db::StageRow* row = agent::last_stage(candidate, stage);
  if (row == nullptr) return std::nullopt;
  const evals::Metric found = agent::metric_of(*row, metric);
  if (found.name.empty()) return std::nullopt;
  return evals::Interval{found.value, found.lo, found.hi};
}

std::vector<FrontRow> front_rows(const agent::History& history, const agent::SearchOptions& options) {
  const agent::Standing standing = agent::standing_of(history, options);
  const std::vector<agent::Point> points = standing.front();
  const std::vector<double> probability = standing.front_probability();
  std::vector<FrontRow> rows;
  for (size_t i = 0; i < points.size(); ++i) {
    const agent::CandidateHistory* candidate = history.find(points[i].candidate);
    if (candidate == nullptr) continue;
    FrontRow row;
    row.id = points[i].candidate;
    row.origin = candidate->row.origin;
    row.rationale = candidate->row.rationale;
    row.made_by = made_by(*candidate);
    row.accuracy = points[i].accuracy;
    row.speed = points[i].speed;
    row.tokens_per_s = stage_metric(*candidate, "speed", "tokens_per_s");
    row.front_probability = probability[i];
    row.confirmed = stage_metric(*candidate, "confirm", "accuracy");
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const FrontRow& a, const FrontRow& b) { return a.speed.value < b.speed.value; });
  return rows;
}

Table front_table(const std::vector<FrontRow>& rows) {
  Table table({"id", "origin", "accuracy", "speed over dense", "tok/s", "P(on front)", "confirmed accuracy", "what"});
  for (const FrontRow& row : rows) {
    table.add({std::to_string(row.id), row.origin, interval_text(row.accuracy, 3), interval_text(row.speed, 2),
               row.tokens_per_s ? fixed(row.tokens_per_s->value, 1) : "-", fixed(row.front_probability, 2),
               optional_text(row.confirmed, 3), row.made_by});
  }
  return table;
}

nlohmann::json to_json(const FrontRow& row) {
  return {{"candidate", row.id},
          {"origin", row.origin},
          {"rationale", row.rationale},
          {"made_by", row.made_by},
          {"accuracy", interval_json(row.accuracy)},
          {"speed_over_dense", interval_json(row.speed)},
          {"tokens_per_s", optional_json(row.tokens_per_s)},
          {"front_probability", row.front_probability},
          {"confirmed_accuracy", optional_json(row.confirmed)}};
}

}  // namespace vortex::cli
