#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evals/statistics.h"
#include "study/history.h"
#include "study/options.h"
#include "study/standing.h"

namespace vortex::study {

// One member of a search's front, or a point of which the data cannot say whether it belongs there; dense attention
// always is a member. Intervals are 95 % ones.
struct FrontRow {
  int64_t id = 0;
  db::Origin origin = db::Origin::kSeed;
  std::string rationale;                        // in words, from the proposer
  std::string made_by;                          // what was done to its parents, or the seed's name; short
  bool undecided = false;                       // neither a member nor shown to be none
  evals::Interval accuracy;                     // on the search problems that it answered
  evals::Interval dense_accuracy;               // dense attention's, on these very problems
  std::optional<evals::Interval> shrunk;        // its difference to dense attention, by expected_differences (claims.h)
  std::optional<evals::Interval> ceiling;       // of the oracle at its budget; nothing where none was measured
  evals::Interval speed;                        // over dense attention's
  std::optional<evals::Interval> tokens_per_s;  // its speed over dense attention, times dense attention's own rate
  double front_probability = 0;                 // of being non-dominated, given the intervals
  std::optional<evals::Interval> confirmed;     // accuracy on held-out problems, where they say that it is kept
  std::optional<Claim> claim;                   // what held-out problems say, where it was asked
  bool is_dense() const { return origin == db::Origin::kDense; }
};

// The fastest policy that held-out problems found to keep dense attention's accuracy, and that processes of their own
// found to be faster (study/claims.h).
struct Best {
  FrontRow row;
  Claim claim;
};
// Nothing where none is claimed.
std::optional<Best> best_of(const std::vector<Claim>& claims, const std::vector<FrontRow>& front);
// Why there is none, and what it would take.
std::string no_claim_text(const std::vector<Claim>& claims, const SearchOptions& options);

// The front of a search as its rows tell it, fastest last, undecided points behind the members. Dense attention, once
// measured, is the first row even when it is dominated (its probability says so): every other number is read against
// it.
std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options);
// The same by a standing that may know more candidates than the history; those that it lacks are left out.
std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options, const Standing& standing);
// The same for a reader who knows the claims and the undecided points (none: the members alone).
std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options, const Standing& standing,
                                 const std::vector<Claim>& claims, const std::vector<Archive::Undecided>& undecided);

// A metric of a candidate's latest row of a stage; nothing when there is no such row or metric.
std::optional<evals::Interval> stage_metric(const CandidateHistory& candidate, db::StageRound stage,
                                            std::string_view metric);

// What a candidate lacks by its ceiling, in a sentence: pages, or a better choice of them. Empty without a ceiling.
std::string ceiling_sentence(const evals::Interval& accuracy, const evals::Interval& dense,
                             const std::optional<evals::Interval>& ceiling);

}  // namespace vortex::study
