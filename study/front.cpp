#include "study/front.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <utility>

#include "base/text.h"
#include "study/held_out.h"
#include "study/standing.h"

namespace vortex::study {
namespace {

// The first part of what its parents or its rationale say.
std::string origin_words(const CandidateHistory& candidate) {
  constexpr size_t kShown = 44;
  std::string text = candidate.row.rationale;
  if (!candidate.parents.empty()) {
    text = "from #" + std::to_string(candidate.parents.front().parent) + ": " + candidate.parents.front().operation;
  } else {
    text = text.substr(0, text.find(':'));
  }
  return clipped(text, kShown);
}

std::string interval_words(const evals::Interval& interval) {
  return fixed(interval.value, 3) + " [" + fixed(interval.lo, 3) + ", " + fixed(interval.hi, 3) + "]";
}

}  // namespace

std::optional<Best> best_of(const std::vector<Claim>& claims, const std::vector<FrontRow>& front) {
  const Claim* headline = headline_of(claims);
  if (headline == nullptr) { return std::nullopt; }
  for (const FrontRow& row : front) {
    if (row.id == headline->candidate) { return Best{row, *headline}; }
  }
  // It need not be on the front any more.
  FrontRow row;
  row.id = headline->candidate;
  row.accuracy = headline->accuracy;
  row.dense_accuracy = headline->dense_accuracy;
  row.speed = headline->speed->ratio;
  row.claim = *headline;
  return Best{std::move(row), *headline};
}

std::string no_claim_text(const std::vector<Claim>& claims, const SearchOptions& options) {
  const std::string within = " within " + format_number(100 * options.margin) + " points";
  if (!options.confirm) { return "Held-out problems were not asked (--no-confirm), so nothing is claimed."; }
  const Claim* nearest = nullptr;
  for (const Claim& claim : claims) {
    const auto rank = [](const Claim& one) { return std::pair(one.kept, one.difference.value); };
    if (claim.problems > 0 && (nearest == nullptr || rank(claim) > rank(*nearest))) { nearest = &claim; }
  }
  if (nearest == nullptr) {
    return "No policy promises enough on the problems of the search to be judged on held-out ones, so nothing is "
           "claimed.";
  }
  const std::string id = std::to_string(nearest->candidate);
  const std::string seen = " (difference to dense attention " + interval_words(nearest->difference) + " on " +
                           std::to_string(nearest->problems) + " held-out problems)";
  if (nearest->kept) {
    return "Candidate " + id + " keeps dense attention's accuracy" + within + seen + ", but is not known to be faster.";
  }
  if (nearest->keeping == evals::Keeping::kLost) {
    return "Candidate " + id + " loses more than the margin" + seen + ".";
  }
  const double room = nearest->difference.value + options.margin;
  if (room <= 0) {
    return "Candidate " + id + " was not found to keep dense attention's accuracy" + within + seen + ".";
  }
  // The interval shrinks with the square root of the problems.
  const double times = std::pow((nearest->difference.value - nearest->difference.lo) / room, 2);
  const int more = std::max(1, static_cast<int>(std::ceil(nearest->problems * (times - 1))));
  return "It cannot be said yet that candidate " + id + " keeps dense attention's accuracy" + within + seen +
         ": about " + std::to_string(more) + " more held-out problems would tell, if it goes on like this.";
}

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

FrontRow row_of(const Point& point, const CandidateHistory& candidate, const Point* dense, double dense_rate,
                const SearchOptions& options) {
  FrontRow row;
  row.id = point.candidate;
  row.origin = candidate.row.origin;
  row.rationale = candidate.row.rationale;
  row.made_by = origin_words(candidate);
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

// Points of the archive as rows, with what is claimed of them; those that the history lacks are left out.
class Rows {
 public:
  Rows(const History& history, const SearchOptions& options, const Standing& standing, const std::vector<Claim>& claims)
      : history_(history),
        options_(options),
        standing_(standing),
        archive_(standing.archive()),
        claims_(claims),
        dense_rate_(standing.dense_rate()) {}

  void add(size_t point, double probability, bool undecided) {
    const CandidateHistory* candidate = history_.find(archive_.points()[point].candidate);
    if (candidate == nullptr) { return; }
    FrontRow row = row_of(archive_.points()[point], *candidate, archive_.reference(), dense_rate_, options_);
    row.undecided = undecided;
    row.front_probability = probability;
    for (const Claim& claim : claims_) {
      if (claim.candidate != row.id) { continue; }
      row.claim = claim;
      if (claim.kept) { row.confirmed = claim.accuracy; }
    }
    if (!row.claim && !row.is_dense() && asked_at(*candidate)) { row.claim = without_promise(row.id); }
    rows_.push_back(std::move(row));
  }

  void add_members(const Standing& standing) {
    const std::vector<double> probability = standing.front_probability();
    for (size_t i = 0; i < archive_.front().size(); ++i) { add(archive_.front()[i], probability[i], false); }
  }

  std::vector<FrontRow> sorted() {
    add_shrunk();
    std::stable_sort(rows_.begin(), rows_.end(), [](const FrontRow& a, const FrontRow& b) {
      return std::pair(a.undecided, a.speed.value) < std::pair(b.undecided, b.speed.value);
    });
    return std::move(rows_);
  }

 private:
  // What one answered that was asked though it promised nothing: it may be lost, and is never kept.
  std::optional<Claim> without_promise(int64_t candidate) const {
    const std::vector<Claim> claims = claims_on(history_, options_, standing_, {candidate});
    if (claims.empty() || claims.front().problems == 0) { return std::nullopt; }
    Claim claim = claims.front();
    if (claim.keeping != evals::Keeping::kLost) { claim.keeping = evals::Keeping::kCannotSay; }
    claim.kept = false;
    claim.faster = false;
    return claim;
  }

  void add_shrunk() {
    std::vector<int64_t> ids;
    for (const FrontRow& row : rows_) { ids.push_back(row.id); }
    std::map<int64_t, evals::Interval> shrunk;
    for (const Expected& one : expected_differences(archive_, ids)) { shrunk[one.candidate] = one.difference; }
    for (FrontRow& row : rows_) {
      if (const auto found = shrunk.find(row.id); found != shrunk.end()) { row.shrunk = found->second; }
    }
  }

  const History& history_;
  const SearchOptions& options_;
  const Standing& standing_;
  const Archive& archive_;
  const std::vector<Claim>& claims_;
  double dense_rate_;
  std::vector<FrontRow> rows_;
};

}  // namespace

std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options) {
  return front_rows(history, options, standing_of(history, options));
}

std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options, const Standing& standing) {
  return front_rows(history, options, standing, claims_of(history, options, standing), standing.archive().undecided());
}

std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options, const Standing& standing,
                                 const std::vector<Claim>& claims, const std::vector<Archive::Undecided>& undecided) {
  Rows rows(history, options, standing, claims);
  rows.add_members(standing);
  for (const Archive::Undecided& one : undecided) { rows.add(one.point, one.probability, true); }
  return rows.sorted();
}

}  // namespace vortex::study
