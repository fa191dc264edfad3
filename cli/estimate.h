#pragma once

#include <map>
#include <string>

#include "cli/context.h"
#include "db/store.h"
#include "study/options.h"

namespace vortex::cli {

// What a candidate should cost: seconds by stage, over those that reached it and those that did not, and dollars.
struct Estimate {
  std::map<std::string, double> stage_seconds;  // a candidate's share of each, retests and held-out problems included
  double candidate_seconds = 0;                 // their sum
  int measured = 0;                             // candidates that this is the mean of
  std::string source;                           // whose
  double dollars = 0;                           // a candidate
  std::string dollars_source;                   // empty: nothing is paid for
};

// From the newest search of this workspace on the same model, task and device; where there is none, from one seed that
// climbs the ladder now, whose rows are not kept (this takes a minute or so, and says so).
Result<Estimate> estimate(const Context& context, db::Store& store, const study::SearchOptions& options);

// For a reader: the table, how many candidates the budgets allow, what they cost. With JSON, as a record.
void print_estimate(const Context& context, const study::SearchOptions& options, const Estimate& estimate);

}  // namespace vortex::cli
