#pragma once

#include <optional>
#include <string>
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
// point's speed depends on all of them.
class Standing {
 public:
  explicit Standing(const SearchOptions& options)
      : rank_(options.rank_speed), seed_(options.seed), margin_(options.margin), archive_(seed_, margin_) {}

  // Adds a candidate; one that was added before is taken back if it is no point now, or judged anew if more is known of
  // it. Candidates come in search order.
  void update(const CandidateHistory& candidate);

  const Archive& archive() const;
  const SpeedSpread& spread() const;
  // The front's points in order of entry, and the probability of each to be non-dominated among them.
  std::vector<Point> front() const;
  std::vector<double> front_probability() const;

 private:
  struct Entry {
    Point point;
    std::vector<SpeedRun> runs;
  };
  void rebuild() const;

  RankSpeed rank_;
  uint64_t seed_;
  double margin_;
  std::vector<Entry> entries_;
  // Derived from the entries when it is asked for.
  mutable Archive archive_;
  mutable SpeedSpread spread_;
  mutable bool is_current_ = true;
};

Standing standing_of(const History& history, const SearchOptions& options);

// What can be claimed of the search's finalists, from the most accurate to the fastest: those that answered held-out
// problems. One rule for everybody who says anything of them (claims.h).
std::vector<Claim> claims_of(const History& history, const SearchOptions& options, const Standing& standing);

// Of one candidate; nothing where it was no finalist.
std::optional<Claim> claim_on(const History& history, const SearchOptions& options, int64_t candidate);

}  // namespace vortex::study
