#include "study/standing.h"

#include <algorithm>

#include "study/retest.h"

namespace vortex::study {
namespace {

evals::Interval speed_of(const CandidateHistory& candidate, RankSpeed rank) {
  if (candidate.row.origin == "dense") return {1.0, 1.0, 1.0};
  const bool modelled = rank == RankSpeed::kModelled;
  const db::StageRow* row = last_stage(candidate, modelled ? "check" : "speed");
  if (row == nullptr) return {};
  const job::Metric metric = metric_of(*row, modelled ? kModelledSpeedup : "speedup_vs_dense");
  return {metric.value, metric.lo, metric.hi};
}

}  // namespace

std::optional<Point> point_of(const CandidateHistory& candidate, RankSpeed rank, uint64_t seed) {
  if (candidate.row.state != "done" || candidate.row.verdict != "pass") return std::nullopt;
  const db::StageRow* race = last_stage(candidate, "race");
  if (race == nullptr) return std::nullopt;
  // A crash may have come between the confirm row and the candidate's verdict: the row counts.
  const db::StageRow* confirm = last_stage(candidate, "confirm");
  if (confirm != nullptr && confirm->verdict != "pass" && confirm->blame != "environment") return std::nullopt;
  Point point;
  point.candidate = candidate.row.id;
  point.key = candidate.row.key;
  point.reference = candidate.row.origin == "dense";
  point.outcomes = outcomes_of(candidate, *race);
  for (const db::StageRow* more = nullptr; point.rounds < kMaxRetests; ++point.rounds) {
    more = last_stage(candidate, retest_stage(point.rounds + 1));
    if (more == nullptr) break;
    if (more->verdict != "pass") continue;
    const std::vector<job::Outcome> outcomes = outcomes_of(candidate, *more);
    point.outcomes.insert(point.outcomes.end(), outcomes.begin(), outcomes.end());
  }
  point.accuracy = evals::accuracy_interval(point.outcomes, seed);
  point.speed = speed_of(candidate, rank);
  if (point.speed.value <= 0) return std::nullopt;
  return point;
}

void Standing::update(const CandidateHistory& candidate) {
  std::optional<Point> point = point_of(candidate, rank_, seed_);
  const std::vector<Point>& points = archive_.points();
  const auto known = std::find_if(points.begin(), points.end(),
                                  [&](const Point& other) { return other.candidate == candidate.row.id; });
  if (known == points.end()) {
    if (point) archive_.add(std::move(*point));
    return;
  }
  if (point && point->outcomes.size() == known->outcomes.size()) return;
  Archive rebuilt(seed_);
  for (const Point& other : points) {
    if (other.candidate != candidate.row.id) rebuilt.add(other);
    if (other.candidate == candidate.row.id && point) rebuilt.add(*point);
  }
  archive_ = std::move(rebuilt);
}

std::vector<Point> Standing::front() const {
  std::vector<Point> front;
  for (size_t i : archive_.front()) front.push_back(archive_.points()[i]);
  return front;
}

std::vector<double> Standing::front_probability() const { return nondominated_probability(front(), seed_); }

Standing standing_of(const History& history, const SearchOptions& options) {
  Standing standing(options.rank_speed, options.seed);
  for (const CandidateHistory& candidate : history.candidates) standing.update(candidate);
  return standing;
}

}  // namespace vortex::study
