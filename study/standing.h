#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "study/archive.h"
#include "study/claims.h"
#include "study/history.h"
#include "study/options.h"

namespace vortex::study {

// Name of the metric in a candidate's check row that holds its modelled speed over dense attention.
inline constexpr const char* kModelledSpeedup = "modelled_speedup";

// The processes that measured a candidate's speed, oldest first. Where dense attention was slowed in some of them but
// not in all by something else on the machine, those are left out.
std::vector<SpeedRun> speed_runs_of(const CandidateHistory& candidate);

// The point of a candidate that passed every stage it climbed; nothing for all others. Read from rows alone.
std::optional<Point> point_of(const CandidateHistory& candidate, RankSpeed rank, uint64_t seed,
                              const SpeedSpread& spread = {});

// The archive of a search. The processes that measured any member tell how much one process can be trusted, so every
// point's speed depends on all of them. A point that tells nothing about the others is added to what is known, or put
// in its place; all is worked out anew only where what all speeds are held against has changed, or a point is none any
// more.
class Standing {
 public:
  explicit Standing(const SearchOptions& options)
      : rank_(options.rank_speed), seed_(options.seed), margin_(options.margin), archive_(seed_, margin_) {}

  // Adds a candidate; one that was added before is taken back if it is no point now, or judged anew if more is known of
  // it. Candidates come in search order.
  void update(const CandidateHistory& candidate);

  const Archive& archive() const;
  const SpeedSpread& spread() const;
  // What dense attention usually did in the processes that measured the points, in tokens per second; 0: not known.
  double dense_rate() const;
  // The front's points in order of entry, and the probability of each to be non-dominated among them.
  std::vector<Point> front() const;
  std::vector<double> front_probability() const;
  // Candidates whose point may be new, moved or gone since this was last asked; each once, in no order.
  std::vector<int64_t> take_changed();

 private:
  struct Entry {
    std::optional<Point> point;  // nothing: it was taken back
    std::vector<SpeedRun> runs;
  };
  void catch_up() const;
  void work_out_speeds() const;
  Point point_with_speed(const Entry& entry) const;
  std::vector<SpeedRun> clear_runs(const Entry& entry) const;  // the contended ones left out
  bool speeds_hold() const;

  RankSpeed rank_;
  uint64_t seed_;
  double margin_;
  std::vector<Entry> entries_;
  std::unordered_map<int64_t, size_t> places_;  // of candidates in entries_; those taken back have none
  std::map<size_t, evals::AnswerSheet> asked_;  // the first answers of each length: others share their questions
  std::vector<int64_t> changed_;
  // Derived from the entries when it is asked for.
  mutable Archive archive_;
  mutable SpeedSpread spread_;
  mutable UsualRate usual_;
  mutable size_t known_ = 0;           // entries that went into them
  mutable std::vector<size_t> moved_;  // of those: what is known of them may have changed
  mutable bool is_gone_ = false;       // one of those is none any more
  mutable bool is_measured_anew_ = false;
  mutable bool all_changed_ = false;
};

Standing standing_of(const History& history, const SearchOptions& options);

// What can be claimed of the search's finalists, in the order in which they were asked: those that answered held-out
// problems. One rule for everybody who says anything of them (claims.h).
std::vector<Claim> claims_of(const History& history, const SearchOptions& options, const Standing& standing);
// The same of a sequence that somebody has by `asked_sequence`: of a history that need hold only these and dense
// attention.
std::vector<Claim> claims_on(const History& history, const SearchOptions& options, const Standing& standing,
                             const std::vector<int64_t>& sequence);

// Of one candidate; nothing where it was no finalist.
std::optional<Claim> claim_on(const History& history, const SearchOptions& options, int64_t candidate);

}  // namespace vortex::study
