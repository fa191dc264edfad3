#include "study/front.h"

#include <algorithm>

#include "study/standing.h"

namespace vortex::study {
namespace {

// The first part of what its parents or its rationale say.
std::string made_by(const CandidateHistory& candidate) {
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

std::optional<evals::Interval> stage_metric(const CandidateHistory& candidate, std::string_view stage,
                                            std::string_view metric) {
  const db::StageRow* row = last_stage(candidate, stage);
  if (row == nullptr) return std::nullopt;
  const job::Metric found = metric_of(*row, metric);
  if (found.name.empty()) return std::nullopt;
  return evals::Interval{found.value, found.lo, found.hi};
}

std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options) {
  const Standing standing = standing_of(history, options);
  const std::vector<Point> points = standing.front();
  const std::vector<double> probability = standing.front_probability();
  std::vector<FrontRow> rows;
  for (size_t i = 0; i < points.size(); ++i) {
    const CandidateHistory* candidate = history.find(points[i].candidate);
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

}  // namespace vortex::study
