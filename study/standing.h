#pragma once

#include <optional>
#include <vector>

#include "study/archive.h"
#include "study/history.h"
#include "study/options.h"

namespace vortex::study {

// Name of the metric in a candidate's check row that holds its modelled speed over dense attention.
inline constexpr const char* kModelledSpeedup = "modelled_speedup";

// The point of a candidate that passed every stage it climbed; nothing for all others. Read from rows alone.
std::optional<Point> point_of(const CandidateHistory& candidate, RankSpeed rank, uint64_t seed);

// The archive of a search, with what the confirm stage took back: a member of the front that does not hold on problems
// the search never saw is no point any more, and others may take its place.
class Standing {
 public:
  Standing(RankSpeed rank, uint64_t seed) : rank_(rank), seed_(seed), archive_(seed) {}

  // Adds a candidate; one that was added before is taken back if it is no point now, or judged anew if it has answered
  // more problems. Candidates come in search order.
  void update(const CandidateHistory& candidate);

  const Archive& archive() const { return archive_; }
  // The front's points in order of entry, and the probability of each to be non-dominated among them.
  std::vector<Point> front() const;
  std::vector<double> front_probability() const;

 private:
  RankSpeed rank_;
  uint64_t seed_;
  Archive archive_;
};

Standing standing_of(const History& history, const SearchOptions& options);

}  // namespace vortex::study
