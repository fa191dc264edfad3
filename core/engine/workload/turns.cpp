#include "core/engine/workload/turns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/clock.h"
#include "core/engine/requests.h"

namespace vortex::engine {
namespace {

constexpr int kCpuPromptTokens = 256;  // a CPU's prompts are timed on so many tokens at most, and scaled

// The i-th number of the van der Corput sequence in base 2, from 1: 1/2, 1/4, 3/4, 1/8, ...
double van_der_corput(int i) {
  double value = 0;
  for (double digit = 0.5; i > 0; i /= 2, digit /= 2) { value += digit * (i % 2); }
  return value;
}

// The 97.5 % quantile of Student's t with `freedom` >= 1 degrees: a table, then Cornish and Fisher's expansion.
double student(int freedom) {
  constexpr std::array kTable = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281};
  if (freedom <= static_cast<int>(kTable.size())) { return kTable[static_cast<size_t>(freedom) - 1]; }
  const double z = 1.959964;
  const double z3 = z * z * z;
  const double n = freedom;
  return z + (z3 + z) / (4 * n) + (5 * z3 * z * z + 16 * z3 + 3 * z) / (96 * n * n);
}

double mean_prompt(const Load& load) {
  double tokens = 0;
  for (const RequestLength& request : load.requests) { tokens += request.prompt; }
  return tokens / static_cast<double>(load.requests.size());
}

// Everything about one side that does not change from turn to turn.
struct Course {
  std::optional<vflow::Policy> policy;
  std::vector<double> round_bytes;  // empty: not planned yet
  double step_seconds = 0;          // of the last turn's last window; 0: none was taken
};

class Turns {
 public:
  Turns(Engine& engine, const std::optional<vflow::Policy>& policy, const Load& load, const TurnOptions& options)
      : engine_(engine), load_(load), options_(options), own_{policy, {}} {}

  Result<Comparison> run() {
    const double begin = monotonic_seconds();
    for (int i = 0; i < options_.warm_up_turns; ++i) { VORTEX_TRY(warm_up()); }
    for (int turn = 1; turn <= options_.most_turns; ++turn) {
      const double start = monotonic_seconds();
      VORTEX_TRY(take(turn));
      if (turn >= options_.fewest_turns && estimate().precision() <= options_.precision) {
        found_.narrow = true;
        break;
      }
      const double next_end = monotonic_seconds() - begin + (monotonic_seconds() - start);
      if (turn >= options_.fewest_in_time && next_end > options_.seconds) { break; }
    }
    if (!own_.policy) { found_.policy = found_.dense; }
    VORTEX_TRY(engine_.set_policy(own_.policy));
    return std::move(found_);
  }

 private:
  Status warm_up() {
    VORTEX_TRY(take(1));
    found_.ratio.clear();
    for (Side* side : {&found_.dense, &found_.policy}) {
      side->seconds.clear();
      side->token_seconds.clear();
      side->slow_token_seconds.clear();
      side->stats = {};
    }
    found_.placed_tokens = found_.real_tokens = 0;
    found_.policy_seconds = found_.place_seconds = 0;
    return ok_status();
  }

  Status take(int turn) {
    PlanSampling sampling = options_.sampling;
    sampling.phase = van_der_corput(turn);
    VORTEX_TRY(take_side(dense_, sampling, found_.dense));
    if (!own_.policy) {
      found_.ratio.push_back(1);
      return ok_status();
    }
    VORTEX_TRY(take_side(own_, sampling, found_.policy));
    found_.ratio.push_back(found_.dense.seconds.back() / found_.policy.seconds.back());
    return ok_status();
  }

  Status take_side(Course& course, PlanSampling sampling, Side& side) {
    {
      const Stopwatch watch(found_.policy_seconds);
      VORTEX_TRY(engine_.set_policy(course.policy));
    }
    const std::unique_ptr<Stepper> stepper = engine_.stepper();
    VORTEX_TRY(prepare(*stepper, course, side));
    // A CPU warms up once: later steps that fill a sample by themselves tell the same from the first on.
    if (!stepper->on_device() && course.step_seconds > sampling.steps.sample_seconds) { sampling.steps.warm_up = 0; }
    VORTEX_ASSIGN(const PlanTime time, time_plan(*stepper, side.plan, course.round_bytes, load_.donors, sampling));
    course.step_seconds = time.windows.back().step.median;
    const std::vector<double> clock = clock_of_plan(side.plan, course.round_bytes, time);
    const std::vector<double> tokens = token_times(side.plan, clock, found_.prompt_seconds);
    side.seconds.push_back(time.decode.median);
    side.token_seconds.push_back(quantile(tokens, 0.5));
    side.slow_token_seconds.push_back(quantile(tokens, 0.95));
    found_.placed_tokens += time.placed_tokens;
    found_.real_tokens += time.real_tokens;
    found_.place_seconds += time.place_seconds;
    VORTEX_ASSIGN(const RunStats stats, stepper->stats());
    add_stats(stats, side.stats);
    return ok_status();
  }

  // What is done once a side; the first one also times a copy and a prompt. A pool that had to be laid out anew may
  // have become smaller than the plan needs: then there is another plan.
  Status prepare(Stepper& stepper, Course& course, Side& side) {
    if (!course.round_bytes.empty() && stepper.pages() >= side.pages) { return ok_status(); }
    side.pages = stepper.pages();
    side.plan = plan_requests(load_.requests, limits_of(stepper));
    const vflow::Policy* policy = course.policy ? &*course.policy : nullptr;
    course.round_bytes =
        bytes_of_rounds(side.plan, engine_.model().config, policy, stepper.kv_dtype(), stepper.expert_dtype());
    side.bytes = bytes_of_steps(side.plan, course.round_bytes);
    if (found_.copy_bytes_per_second > 0) { return ok_status(); }
    VORTEX_ASSIGN(found_.copy_bytes_per_second, stepper.copy_bandwidth());
    const double mean = mean_prompt(load_);
    const int timed =
        std::max(1, static_cast<int>(stepper.on_device() ? mean : std::min<double>(mean, kCpuPromptTokens)));
    VORTEX_ASSIGN(const double seconds, time_prompt(stepper, timed));
    found_.prompt_seconds = seconds * mean / timed;
    return ok_status();
  }

  // What decides whether there is another turn: for dense attention alone its own time.
  Estimate estimate() const { return mean_estimate(own_.policy ? found_.ratio : found_.dense.seconds); }

  Engine& engine_;
  const Load& load_;
  const TurnOptions& options_;
  Course dense_;
  Course own_;
  Comparison found_;
};

}  // namespace

Estimate mean_estimate(const std::vector<double>& samples) {
  if (samples.empty()) { return {}; }
  const auto count = static_cast<double>(samples.size());
  double sum = 0;
  for (const double sample : samples) { sum += std::log(sample); }
  const double mean = sum / count;
  if (samples.size() == 1) { return {samples[0], 0, std::numeric_limits<double>::infinity()}; }
  double squares = 0;
  for (const double sample : samples) { squares += (std::log(sample) - mean) * (std::log(sample) - mean); }
  const double half = student(static_cast<int>(samples.size()) - 1) * std::sqrt(squares / (count - 1) / count);
  return {std::exp(mean), std::exp(mean - half), std::exp(mean + half)};
}

PlanSampling quick_sampling() {
  PlanSampling sampling;
  sampling.windows = 4;
  sampling.steps.warm_up = 1;
  sampling.steps.samples = 2;
  sampling.steps.steps = 1;
  sampling.steps.sample_seconds = 0.02;
  return sampling;
}

std::vector<double> Side::tokens_per_second() const {
  std::vector<double> rates;
  for (const double of_turn : seconds) { rates.push_back(static_cast<double>(plan.decode_tokens()) / of_turn); }
  return rates;
}

std::vector<double> Side::end_to_end(double prompt_seconds) const {
  const double prompts = prompt_seconds * static_cast<double>(plan.stays.size());
  std::vector<double> rates;
  for (const double of_turn : seconds) { rates.push_back(static_cast<double>(plan.tokens) / (of_turn + prompts)); }
  return rates;
}

Result<Comparison> compare_in_turns(Engine& engine, const std::optional<vflow::Policy>& policy, const Load& load,
                                    const TurnOptions& options) {
  if (load.requests.empty()) { return candidate_error("a workload must have at least one request"); }
  return Turns(engine, policy, load, options).run();
}

}  // namespace vortex::engine
