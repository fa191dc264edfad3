#include "study/standing.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "study/held_out.h"
#include "study/retest.h"

namespace vortex::study {
namespace {

// A policy that crashed on held-out problems is none. That it lost too much there is no fault: the claims say it.
bool failed_when_confirmed(const CandidateHistory& candidate) {
  return std::any_of(candidate.stages.begin(), candidate.stages.end(), [](const db::StageRow& row) {
    const bool crashed = row.verdict != job::Verdict::kPass && row.verdict != job::Verdict::kPruned;
    return is_confirm(row.stage) && crashed && row.blame != Blame::kEnvironment;
  });
}

// The speed that ranks a candidate; nothing where it was not measured.
std::optional<Speed> ranking_speed(const CandidateHistory& candidate, RankSpeed rank, const std::vector<SpeedRun>& runs,
                                   const SpeedSpread& spread) {
  if (is_dense(candidate.row)) { return exact_speed(1); }
  if (rank == RankSpeed::kModelled) {
    const db::StageRow* row = last_stage(candidate, job::Stage::kCheck);
    const double ratio = row == nullptr ? 0 : metric_of(*row, kModelledSpeedup).value;
    return ratio > 0 ? std::optional(exact_speed(ratio)) : std::nullopt;
  }
  if (runs.empty()) { return std::nullopt; }
  return speed_of_runs(runs, spread);
}

// By the KL on the tokens of right answers, which tells policies apart sooner than their answers do
// (docs/benchmarks/selection.md).
double promise_of(const CandidateHistory& candidate) {
  constexpr double kScale = 0.1;  // nats
  const db::StageRow* recall = last_stage(candidate, job::Stage::kRecall);
  if (recall == nullptr) { return 0; }
  const job::Metric kl = metric_of(*recall, "answer_kl");
  return kl.name.empty() ? 0 : std::exp(-kl.value / kScale);
}

}  // namespace

std::vector<SpeedRun> speed_runs_of(const CandidateHistory& candidate) {
  std::vector<SpeedRun> runs;
  for (int run = 1; run <= kMaxSpeedRuns; ++run) {
    const db::StageRow* row = last_stage(candidate, speed_stage(run));
    if (row == nullptr) { break; }
    const job::Metric ratio = metric_of(*row, "speedup_vs_dense");
    if (row->verdict != job::Verdict::kPass || ratio.value <= 0) { continue; }
    runs.push_back({{ratio.value, ratio.lo, ratio.hi}, metric_of(*row, "dense_tokens_per_s").value});
  }
  return runs;
}

std::optional<Point> point_of(const CandidateHistory& candidate, RankSpeed rank, uint64_t seed,
                              const SpeedSpread& spread) {
  if (!is_done(candidate.row) || !has_passed(candidate.row)) { return std::nullopt; }
  const db::StageRow* race = last_stage(candidate, job::Stage::kRace);
  // A crash may have come between the confirm row and the candidate's verdict: the row counts.
  if (race == nullptr || failed_when_confirmed(candidate)) { return std::nullopt; }
  const auto speed = ranking_speed(candidate, rank, speed_runs_of(candidate), spread);
  if (!speed) { return std::nullopt; }
  Point point;
  point.candidate = candidate.row.id;
  point.key = candidate.row.key;
  point.reference = is_dense(candidate.row);
  point.outcomes = outcomes_of(candidate, *race);
  for (const db::StageRow* more = nullptr; point.rounds < kMaxRetests; ++point.rounds) {
    more = last_stage(candidate, retest_stage(point.rounds + 1));
    if (more == nullptr) { break; }
    if (more->verdict != job::Verdict::kPass) { continue; }
    const std::vector<job::Outcome> outcomes = outcomes_of(candidate, *more);
    point.outcomes.insert(point.outcomes.end(), outcomes.begin(), outcomes.end());
  }
  point.accuracy = evals::accuracy_interval(point.outcomes, seed);
  point.speed = *speed;
  point.promise = promise_of(candidate);
  return point;
}

void Standing::update(const CandidateHistory& candidate) {
  std::optional<Point> point = point_of(candidate, rank_, seed_);
  const auto known = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.point.candidate == candidate.row.id; });
  is_current_ = false;
  if (known == entries_.end()) {
    if (point) { entries_.push_back({std::move(*point), speed_runs_of(candidate)}); }
  } else if (point) {
    *known = {std::move(*point), speed_runs_of(candidate)};
  } else {
    entries_.erase(known);
  }
}

void Standing::rebuild() const {
  is_current_ = true;
  std::vector<SpeedRun> all;
  for (const Entry& entry : entries_) { all.insert(all.end(), entry.runs.begin(), entry.runs.end()); }
  std::vector<std::vector<SpeedRun>> measured;
  for (const Entry& entry : entries_) {
    std::vector<SpeedRun> clear;
    for (const SpeedRun& run : entry.runs) {
      if (!is_contended(run, all)) { clear.push_back(run); }
    }
    measured.push_back(clear.empty() ? entry.runs : clear);
  }
  spread_ = speed_spread(measured);
  archive_ = Archive(seed_, margin_);
  for (size_t i = 0; i < entries_.size(); ++i) {
    Point point = entries_[i].point;
    const bool is_measured = rank_ == RankSpeed::kMeasured && !point.reference && !measured[i].empty();
    if (is_measured) { point.speed = speed_of_runs(measured[i], spread_); }
    archive_.add(std::move(point));
  }
}

const Archive& Standing::archive() const {
  if (!is_current_) { rebuild(); }
  return archive_;
}

const SpeedSpread& Standing::spread() const {
  if (!is_current_) { rebuild(); }
  return spread_;
}

std::vector<Point> Standing::front() const {
  std::vector<Point> front;
  for (size_t i : archive().front()) { front.push_back(archive().points()[i]); }
  return front;
}

std::vector<double> Standing::front_probability() const { return nondominated_probability(front(), seed_); }

Standing standing_of(const History& history, const SearchOptions& options) {
  Standing standing(options);
  for (const CandidateHistory& candidate : history.candidates) { standing.update(candidate); }
  return standing;
}

std::vector<Claim> claims_of(const History& history, const SearchOptions& options, const Standing& standing) {
  std::set<int64_t> asked;
  std::vector<job::Outcome> dense;
  for (const CandidateHistory& candidate : history.candidates) {
    if (last_stage(candidate, job::Stage::kConfirm) == nullptr) { continue; }
    if (is_dense(candidate.row)) {
      dense = held_out_outcomes(candidate);
    } else {
      asked.insert(candidate.row.id);
    }
  }
  const SequenceRules rules = sequence_rules(options);
  std::vector<Finalist> finalists;
  for (const int64_t id : best_sequence(standing.archive(), rules, &asked)) {
    const CandidateHistory* candidate = history.find(id);
    if (candidate == nullptr) { continue; }
    Finalist finalist{id, held_out_outcomes(*candidate), std::nullopt};
    const std::vector<SpeedRun> runs = speed_runs_of(*candidate);
    if (options.rank_speed == RankSpeed::kModelled) {
      const auto point = point_of(*candidate, options.rank_speed, options.seed);
      if (point) { finalist.speed = point->speed; }
    } else if (runs.size() > 1) {
      finalist.speed = speed_of_runs({runs.begin() + 1, runs.end()}, standing.spread());
    }
    finalists.push_back(std::move(finalist));
  }
  return judge_claims(finalists, dense, rules, options.seed);
}

std::optional<Claim> claim_on(const History& history, const SearchOptions& options, int64_t candidate) {
  for (Claim& claim : claims_of(history, options, standing_of(history, options))) {
    if (claim.candidate == candidate && claim.problems > 0) { return std::move(claim); }
  }
  return std::nullopt;
}

}  // namespace vortex::study
