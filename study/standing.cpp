#include "study/standing.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

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

double promise_of(const CandidateHistory& candidate) {
  const db::StageRow* recall = last_stage(candidate, job::Stage::kRecall);
  if (recall == nullptr) { return 0; }
  const job::Metric kl = metric_of(*recall, "answer_kl");
  return kl.name.empty() ? 0 : promise_of_kl(kl.value);
}

// The answers that belong to a stage row, behind those given.
void add_answers(const CandidateHistory& candidate, const db::StageRow& stage,
                 std::vector<evals::AnswerSheet::Given>& given) {
  for (const db::OutcomeRow& row : candidate.outcomes) {
    if (row.attempt != stage.attempt || row.stage != stage.stage) { continue; }
    given.push_back({row.problem, static_cast<int>(row.trial), row.correct});
  }
}

bool same_runs(const std::vector<SpeedRun>& a, const std::vector<SpeedRun>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const SpeedRun& x, const SpeedRun& y) {
    return x.ratio.value == y.ratio.value && x.ratio.lo == y.ratio.lo && x.ratio.hi == y.ratio.hi &&
           x.dense_tokens_per_s == y.dense_tokens_per_s;
  });
}

// By the processes that measured its speed, which take longest to read.
std::optional<Point> point_with(const CandidateHistory& candidate, RankSpeed rank, uint64_t seed,
                                const SpeedSpread& spread, const std::vector<SpeedRun>& runs) {
  if (!is_done(candidate.row) || !has_passed(candidate.row)) { return std::nullopt; }
  const db::StageRow* race = last_stage(candidate, job::Stage::kRace);
  // A crash may have come between the confirm row and the candidate's verdict: the row counts.
  if (race == nullptr || failed_when_confirmed(candidate)) { return std::nullopt; }
  const auto speed = ranking_speed(candidate, rank, runs, spread);
  if (!speed) { return std::nullopt; }
  Point point;
  point.candidate = candidate.row.id;
  point.key = candidate.row.key;
  point.reference = is_dense(candidate.row);
  std::vector<evals::AnswerSheet::Given> given;
  add_answers(candidate, *race, given);
  for (const db::StageRow* more = nullptr; point.rounds < kMaxRetests; ++point.rounds) {
    more = last_stage(candidate, retest_stage(point.rounds + 1));
    if (more == nullptr) { break; }
    if (more->verdict == job::Verdict::kPass) { add_answers(candidate, *more, given); }
  }
  point.outcomes = evals::AnswerSheet(given);
  point.accuracy = evals::accuracy_interval(point.outcomes, seed);
  point.speed = *speed;
  point.promise = promise_of(candidate);
  return point;
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
  return point_with(candidate, rank, seed, spread, speed_runs_of(candidate));
}

void Standing::update(const CandidateHistory& candidate) {
  const int64_t id = candidate.row.id;
  Entry entry;
  entry.runs = speed_runs_of(candidate);
  entry.point = point_with(candidate, rank_, seed_, {}, entry.runs);
  const auto known = places_.find(id);
  if (!entry.point && known == places_.end()) { return; }
  changed_.push_back(id);
  if (!entry.point) {
    is_gone_ = is_gone_ || known->second < known_;
    entries_[known->second].point.reset();
    places_.erase(known);
    return;
  }
  const auto alike = asked_.try_emplace(entry.point->outcomes.size(), entry.point->outcomes).first;
  entry.point->outcomes.share(alike->second);
  if (known == places_.end()) {
    places_[id] = entries_.size();
    entries_.push_back(std::move(entry));
    return;
  }
  Entry& old = entries_[known->second];
  if (known->second < known_) {
    is_gone_ = is_gone_ || old.point->key != entry.point->key;
    is_measured_anew_ = is_measured_anew_ || !same_runs(old.runs, entry.runs);
    moved_.push_back(known->second);
  }
  old = std::move(entry);
}

std::vector<SpeedRun> Standing::clear_runs(const Entry& entry) const {
  std::vector<SpeedRun> clear;
  for (const SpeedRun& run : entry.runs) {
    if (!usual_.is_contended(run)) { clear.push_back(run); }
  }
  return clear.empty() ? entry.runs : clear;
}

Point Standing::point_with_speed(const Entry& entry) const {
  Point point = *entry.point;
  if (rank_ == RankSpeed::kMeasured && !point.reference && !entry.runs.empty()) {
    point.speed = speed_of_runs(clear_runs(entry), spread_);
  }
  return point;
}

// May what all speeds are held against stay as it is, with the new entries?
bool Standing::speeds_hold() const {
  if (is_gone_ || is_measured_anew_) { return false; }
  const double bar = usual_.bar();
  bool alone = true;  // processes of one policy tell how far those of others lie apart
  for (size_t i = known_; i < entries_.size(); ++i) {
    if (!entries_[i].point) { continue; }
    for (const SpeedRun& run : entries_[i].runs) { usual_.add(run); }
    alone = alone && entries_[i].runs.size() < 2;
  }
  return rank_ == RankSpeed::kModelled ? alone : alone && usual_.agrees_with(bar);
}

void Standing::work_out_speeds() const {
  usual_ = UsualRate();
  for (const Entry& entry : entries_) {
    if (!entry.point) { continue; }
    for (const SpeedRun& run : entry.runs) { usual_.add(run); }
  }
  std::vector<std::vector<SpeedRun>> measured;
  for (const Entry& entry : entries_) {
    if (entry.point && entry.runs.size() > 1) { measured.push_back(clear_runs(entry)); }
  }
  spread_ = speed_spread(measured);
  moved_.resize(known_);
  std::iota(moved_.begin(), moved_.end(), size_t{0});
  all_changed_ = true;
}

void Standing::catch_up() const {
  if (known_ == entries_.size() && moved_.empty() && !is_gone_) { return; }
  if (!speeds_hold()) { work_out_speeds(); }
  if (is_gone_) {
    archive_ = Archive(seed_, margin_);
    known_ = 0;
    moved_.clear();
  }
  std::vector<Point> moved;
  for (const size_t place : moved_) {
    if (entries_[place].point) { moved.push_back(point_with_speed(entries_[place])); }
  }
  archive_.replace(std::move(moved));
  for (; known_ < entries_.size(); ++known_) {
    if (entries_[known_].point) { archive_.add(point_with_speed(entries_[known_])); }
  }
  moved_.clear();
  is_gone_ = is_measured_anew_ = false;
}

std::vector<int64_t> Standing::take_changed() {
  catch_up();
  if (all_changed_) {
    // Also those that are gone: they stand in changed_ alone.
    for (const auto& [candidate, place] : places_) { changed_.push_back(candidate); }
    all_changed_ = false;
  }
  std::sort(changed_.begin(), changed_.end());
  changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
  return std::exchange(changed_, {});
}

const Archive& Standing::archive() const {
  catch_up();
  return archive_;
}

const SpeedSpread& Standing::spread() const {
  catch_up();
  return spread_;
}

double Standing::dense_rate() const {
  catch_up();
  return usual_.median();
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
  std::map<AskedAt, int64_t> asked;
  for (const CandidateHistory& candidate : history.candidates) {
    const auto at = asked_at(candidate);
    if (at && !is_dense(candidate.row)) { asked[*at] = candidate.row.id; }
  }
  std::vector<int64_t> in_order;
  for (const auto& [at, candidate] : asked) { in_order.push_back(candidate); }
  return claims_on(history, options, standing, asked_sequence(standing.archive(), sequence_rules(options), in_order));
}

std::vector<Claim> claims_on(const History& history, const SearchOptions& options, const Standing& standing,
                             const std::vector<int64_t>& sequence) {
  std::vector<job::Outcome> dense;
  for (const CandidateHistory& candidate : history.candidates) {
    if (is_dense(candidate.row)) { dense = held_out_outcomes(candidate); }
  }
  std::vector<Finalist> finalists;
  SequenceRules rules = sequence_rules(options);
  for (const int64_t id : sequence) {
    const CandidateHistory* candidate = history.find(id);
    if (candidate == nullptr) { continue; }
    Finalist finalist = until_decided(finalist_of(*candidate), dense, rules, options.seed);
    const Claim claim = judge_claims({finalist}, dense, rules, options.seed).front();
    rules.failures += claim.problems > 0 && !claim.kept ? 1 : 0;
    const std::vector<SpeedRun> runs = speed_runs_of(*candidate);
    if (options.rank_speed == RankSpeed::kModelled) {
      const auto point = point_of(*candidate, options.rank_speed, options.seed);
      if (point) { finalist.speed = point->speed; }
      if (point) { finalist.first_speed = point->speed.ratio.value; }
    } else if (runs.size() > 1) {
      finalist.speed = speed_of_runs({runs.begin() + 1, runs.end()}, standing.spread());
    }
    if (options.rank_speed != RankSpeed::kModelled && !runs.empty()) {
      finalist.first_speed = runs.front().ratio.value;
    }
    finalists.push_back(std::move(finalist));
  }
  return judge_claims(finalists, dense, sequence_rules(options), options.seed);
}

std::optional<Claim> claim_on(const History& history, const SearchOptions& options, int64_t candidate) {
  for (Claim& claim : claims_of(history, options, standing_of(history, options))) {
    if (claim.candidate == candidate && claim.problems > 0) { return std::move(claim); }
  }
  return std::nullopt;
}

}  // namespace vortex::study
