// What a plan's decode steps cost on a device: short runs of steps at places spread evenly over the plan, on requests
// that are as long as the plan has them there. The one way in which speed is measured: `vortex bench` and the ladder's
// speed stage both come here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/engine/stepper.h"
#include "core/engine/workload/plan.h"

namespace vortex::engine {

// What a plan of this stepper's engine keeps to.
PlanLimits limits_of(const Stepper& stepper);

// How one batch is timed.
struct StepSampling {
  int warm_up = 2;            // steps before the first sample
  int samples = 5;            // at least 1
  int steps = 4;              // of a sample
  double sample_seconds = 0;  // shorter samples take more steps, up to `most_steps`, by the time of the warm-up's last
  int most_steps = 8;         // one
};

// Tokens by which a request grows while it is timed so: no shorter context can be timed.
int tokens_to_time(const StepSampling& sampling);

// Seconds of one step: over the samples of a batch.
struct StepTime {
  double median = 0;
  double fastest = 0;
  double slowest = 0;
};

// Seconds of one step of requests of these lengths, which the steps that are taken pass half-way (or reach at their
// end, where the pool has no room for more).
struct Batch {
  std::vector<int> lengths;
  std::span<const PrefixPtr> donors;  // see Stepper::place; may be empty
};
Result<StepTime> time_steps(Stepper& stepper, const Batch& batch, const StepSampling& sampling);

// What the stretch of a plan costs in whose middle, or wherever `phase` says, a window was measured.
struct Window {
  int64_t first = 0;  // steps [first, end) of the plan
  int64_t end = 0;
  double bytes = 0;  // of one step where it was measured
  StepTime step;
};

// What a step costs by its bytes: launches and whatever else every step pays, and what it reads. Neither is negative,
// and one of them is not 0. Only its shape counts: windows set the scale.
struct StepCost {
  double fixed = 0;
  double per_byte = 1;
  double of(double bytes) const { return fixed + per_byte * bytes; }
};

// The line through the windows' steps by least squares; steps in proportion to their bytes where it would start below 0
// or where the windows hardly differ.
StepCost fit_cost(const std::vector<Window>& windows);

struct PlanTime {
  std::vector<Window> windows;
  StepCost cost;            // fit_cost of them
  StepTime decode;          // of all steps of the plan together, not of one
  int64_t real_tokens = 0;  // placed in all windows, with K and V of donors
  int64_t placed_tokens = 0;
  double place_seconds = 0;  // that placing them took
};

// Times `windows` windows, one in each of as many equal stretches of the plan, at the share `phase` in (0, 1) of each
// stretch. A step of a stretch costs what its window's step did, scaled by what a step of its bytes should cost (the
// line through all windows; `round_bytes` of bytes_of_rounds): the ratio estimator of survey sampling (Cochran 1977,
// ch. 6) with a regression for what it is scaled by. By bytes alone the end of a plan, where few requests are left and
// steps cost their launches, would count for too much whenever a window fell there.
struct PlanSampling {
  int windows = 24;
  double phase = 0.5;
  StepSampling steps = {};
};
Result<PlanTime> time_plan(Stepper& stepper, const Plan& plan, const std::vector<double>& round_bytes,
                           std::span<const PrefixPtr> donors, const PlanSampling& sampling);

// Seconds at the beginning of every round and, last, at the end of the plan, by these windows.
std::vector<double> clock_of_plan(const Plan& plan, const std::vector<double>& round_bytes, const PlanTime& time);

// Seconds an output token of every request that decodes at all, from its first token to its last, with `prompt_seconds`
// for every prompt that is computed meanwhile: everybody waits for it.
std::vector<double> token_times(const Plan& plan, const std::vector<double>& clock, double prompt_seconds);

// Seconds of a prompt of `tokens` tokens, the second of two. Nothing is resident afterwards.
Result<double> time_prompt(Stepper& stepper, int tokens);

// The value below which a share `q` of the values lies; 0 of none.
double quantile(std::vector<double> values, double q);

}  // namespace vortex::engine
