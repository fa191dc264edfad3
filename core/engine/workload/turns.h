// A policy beside dense attention on one engine, in turns, on a served load.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "core/engine/engine.h"
#include "core/engine/workload/plan.h"
#include "core/engine/workload/timing.h"
#include "core/vflow/policy.h"

namespace vortex::engine {

// The requests to be served, and K and V that some of their prompts had (see Stepper::place; may be empty).
struct Load {
  std::vector<RequestLength> requests;
  std::vector<PrefixPtr> donors;
};

// A value with its two-sided 95 % interval.
struct Estimate {
  double value = 0;
  double lo = 0;
  double hi = 0;
  // Half the interval over the value.
  double precision() const { return value > 0 ? (hi - lo) / (2 * value) : 0; }
};

// Geometric mean of positive samples, with Student's interval of the mean of their logarithms. One sample: itself, from
// 0 to infinity; none: all zero.
Estimate mean_estimate(const std::vector<double>& samples);

// Both sides are timed on `sampling.windows` windows of their own plan a turn, every turn at other places of it (the
// van der Corput sequence, so that all turns together cover the plan evenly). Turns end when the interval of the ratio
// is as narrow as asked, or when one more would pass `seconds`. Looking after every turn, from the fourth on, makes the
// 95 % interval hold 91 % at worst (normal samples, by simulation: tests/core/engine/workload).
struct TurnOptions {
  PlanSampling sampling;
  double precision = 0.01;
  double seconds = 3;
  int fewest_turns = 4;
  int fewest_in_time = 3;  // when the seconds are up
  int most_turns = 1000;
  // Turns before the first one that are taken and forgotten: on a GPU the first of a process is up to a tenth off
  // (docs/benchmarks/gpu-search.md).
  int warm_up_turns = 0;
};

// A turn's sampling that a search can afford: four windows of two samples, after one step to warm up.
PlanSampling quick_sampling();

// One of the two.
struct Side {
  Plan plan;                               // on the pool that its pages leave
  int64_t pages = 0;                       // of that pool
  double bytes = 0;                        // of all steps of the plan, by the limit model
  std::vector<double> seconds;             // [turn], of all decode steps of the plan
  std::vector<double> token_seconds;       // P50 of the requests' mean time per output token, of each turn
  std::vector<double> slow_token_seconds;  // P95
  RunStats stats;                          // of the steps that were taken

  // Of the plan's decoding, and of all of it: all tokens until the last request ends, which is what the Vortex paper
  // calls end-to-end throughput (arXiv:2606.06453). Both of each turn.
  std::vector<double> tokens_per_second() const;
  std::vector<double> end_to_end(double prompt_seconds) const;
};

struct Comparison {
  Side dense;
  Side policy;                // the same as dense where there is no policy
  std::vector<double> ratio;  // [turn] dense seconds over the policy's, a token
  double copy_bytes_per_second = 0;
  double prompt_seconds = 0;  // of a prompt of mean length
  int64_t placed_tokens = 0;  // in all windows
  int64_t real_tokens = 0;    // of them, with K and V of real requests; the others are random
  double policy_seconds = 0;  // that changing the policy took, in all turns
  double place_seconds = 0;   // that placing tokens took
  bool narrow = false;        // ended because the interval was narrow enough
};

// Measures `policy` (nullopt: dense attention alone). The engine keeps the policy afterwards.
Result<Comparison> compare_in_turns(Engine& engine, const std::optional<vflow::Policy>& policy, const Load& load,
                                    const TurnOptions& options);

}  // namespace vortex::engine
