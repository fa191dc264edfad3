#include "study/front.h"

#include <algorithm>
#include <cstdio>

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

std::optional<evals::Interval> stage_metric(const CandidateHistory& candidate, db::StageRound stage,
                                            std::string_view metric) {
  const db::StageRow* row = last_stage(candidate, stage);
  if (row == nullptr) { return std::nullopt; }
  const job::Metric found = metric_of(*row, metric);
  if (found.name.empty()) { return std::nullopt; }
  return evals::Interval{found.value, found.lo, found.hi};
}

std::string ceiling_sentence(const evals::Interval& accuracy, const evals::Interval& dense,
                             const std::optional<evals::Interval>& ceiling) {
  constexpr double kGap = 0.05;  // differences below this say nothing
  if (!ceiling) { return {}; }
  char text[160];
  std::snprintf(text, sizeof text, "The pages with the largest true attention, at the same budget, answer %.2f. ",
                ceiling->value);
  std::string sentence = text;
  if (ceiling->value < dense.value - kGap) {
    return sentence + "The budget itself costs answers: it needs more pages.";
  }
  if (accuracy.value < ceiling->value - kGap) {
    return sentence + "The budget is enough: what is missing is a better score.";
  }
  return sentence + "The choice of pages leaves nothing to gain at this budget: fewer pages may do.";
}

namespace {

// Tokens per second of dense attention alone, over all processes that measured a speed: the middle one.
double usual_dense_rate(const History& history) {
  std::vector<double> rates;
  for (const CandidateHistory& candidate : history.candidates) {
    for (const SpeedRun& run : speed_runs_of(candidate)) {
      if (run.dense_tokens_per_s > 0) { rates.push_back(run.dense_tokens_per_s); }
    }
  }
  return evals::median_interval(std::move(rates)).value;
}

FrontRow row_of(const Point& point, const CandidateHistory& candidate, const Point* dense, double dense_rate,
                const SearchOptions& options) {
  FrontRow row;
  row.id = point.candidate;
  row.origin = candidate.row.origin;
  row.rationale = candidate.row.rationale;
  row.made_by = made_by(candidate);
  row.accuracy = point.accuracy;
  row.dense_accuracy = point.accuracy;
  if (dense != nullptr && !point.reference) {
    row.dense_accuracy = evals::accuracy_interval(shared_with(dense->outcomes, point.outcomes), options.seed);
  }
  row.ceiling = stage_metric(candidate, job::Stage::kRecall, "oracle_accuracy");
  row.speed = point.speed.ratio;
  if (dense_rate > 0 && options.rank_speed == RankSpeed::kMeasured) {
    row.tokens_per_s = {row.speed.value * dense_rate, row.speed.lo * dense_rate, row.speed.hi * dense_rate};
  } else {
    row.tokens_per_s = stage_metric(candidate, job::Stage::kSpeed, "tokens_per_s");
  }
  return row;
}

}  // namespace

std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options) {
  return front_rows(history, options, standing_of(history, options));
}

std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options, const Standing& standing) {
  const Archive& archive = standing.archive();
  const std::vector<double> among_members = standing.front_probability();
  const std::vector<double> among_all = nondominated_probability(archive.points(), options.seed);
  const std::vector<Claim> claims = claims_of(history, options, standing);
  const double dense_rate = usual_dense_rate(history);
  std::vector<FrontRow> rows;
  const auto add = [&](size_t point, double probability, bool undecided) {
    const CandidateHistory* candidate = history.find(archive.points()[point].candidate);
    if (candidate == nullptr) { return; }
    FrontRow row = row_of(archive.points()[point], *candidate, archive.reference(), dense_rate, options);
    row.undecided = undecided;
    row.front_probability = probability;
    for (const Claim& claim : claims) {
      if (claim.candidate != row.id) { continue; }
      row.claim = claim;
      if (claim.kept) { row.confirmed = claim.accuracy; }
    }
    rows.push_back(std::move(row));
  };
  for (size_t i = 0; i < archive.front().size(); ++i) { add(archive.front()[i], among_members[i], false); }
  for (const size_t i : archive.undecided()) { add(i, among_all[i], true); }
  std::stable_sort(rows.begin(), rows.end(), [](const FrontRow& a, const FrontRow& b) {
    return std::pair(a.undecided, a.speed.value) < std::pair(b.undecided, b.speed.value);
  });
  return rows;
}

}  // namespace vortex::study
