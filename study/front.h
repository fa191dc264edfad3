#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evals/statistics.h"
#include "study/history.h"
#include "study/options.h"

namespace vortex::study {

// One member of a search's front; dense attention always is one. Intervals are 95 % ones.
struct FrontRow {
  int64_t id = 0;
  std::string origin;                           // "dense" for the baseline
  std::string rationale;                        // in words, from the proposer
  std::string made_by;                          // what was done to its parents, or the seed's name; short
  evals::Interval accuracy;                     // on the search problems
  evals::Interval speed;                        // over dense attention's
  std::optional<evals::Interval> tokens_per_s;  // nothing when the speed stage did not run
  double front_probability = 0;                 // of being non-dominated, given the intervals
  std::optional<evals::Interval> confirmed;     // accuracy on held-out problems; nothing before the confirm stage
  bool is_dense() const { return origin == "dense"; }
};

// The front of a search as its rows tell it, fastest last. Dense attention, once measured, is the first row even when
// it is dominated (its probability says so): every other number is read against it.
std::vector<FrontRow> front_rows(const History& history, const SearchOptions& options);

// A metric of a candidate's latest row of a stage; nothing when there is no such row or metric.
std::optional<evals::Interval> stage_metric(const CandidateHistory& candidate, std::string_view stage,
                                            std::string_view metric);

}  // namespace vortex::study
