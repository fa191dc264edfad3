#include "core/engine/workload/timing.h"

#include <algorithm>
#include <cmath>

namespace vortex::engine {
namespace {

constexpr double kLeastSpread = 0.02;  // of the windows' bytes about their mean, for a line through them

// The lengths at which to begin, so that steps that add `grown` tokens pass `lengths` half-way.
std::vector<int> begin_of(const Stepper& stepper, std::vector<int> lengths, int grown) {
  const int64_t block = stepper.block_size();
  const auto pages_at_end = [&](int before) {
    int64_t pages = 0;
    for (const int length : lengths) { pages += (std::max(1, length - before) + grown + block - 1) / block; }
    return pages;
  };
  const auto longest = *std::max_element(lengths.begin(), lengths.end());
  const bool fits = pages_at_end(grown / 2) <= stepper.pages() && longest - grown / 2 + grown <= stepper.max_context();
  const int before = fits ? grown / 2 : grown;
  for (int& length : lengths) { length = std::max(1, length - before); }
  return lengths;
}

// Of one sample.
int most_steps_of(const StepSampling& sampling) {
  return sampling.sample_seconds > 0 ? std::max(sampling.steps, sampling.most_steps) : sampling.steps;
}

StepTime spread(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  return {(samples[(n - 1) / 2] + samples[n / 2]) / 2, samples.front(), samples.back()};
}

// The round in which step `step` is taken.
size_t round_at(const Plan& plan, int64_t step) {
  const auto after = std::upper_bound(plan.rounds.begin(), plan.rounds.end(), step,
                                      [](int64_t at, const Round& round) { return at < round.first_step; });
  return static_cast<size_t>(after - plan.rounds.begin()) - 1;
}

// Calls `visit(window, round, steps)` for the stretches of rounds that fall to each window, in order.
template <typename Visit>
void for_each_stretch(const Plan& plan, const std::vector<Window>& windows, const Visit& visit) {
  size_t round = 0;
  for (const Window& window : windows) {
    for (int64_t at = window.first; at < window.end;) {
      while (plan.rounds[round].first_step + plan.rounds[round].steps <= at) { ++round; }
      const int64_t end = std::min(window.end, plan.rounds[round].first_step + plan.rounds[round].steps);
      visit(window, round, static_cast<double>(end - at));
      at = end;
    }
  }
}

}  // namespace

PlanLimits limits_of(const Stepper& stepper) {
  return {stepper.max_batch(), stepper.steps_per_round(), stepper.block_size(), stepper.pages()};
}

int tokens_to_time(const StepSampling& sampling) {
  return sampling.warm_up + sampling.samples * most_steps_of(sampling);
}

Result<StepTime> time_steps(Stepper& stepper, const Batch& batch, const StepSampling& sampling) {
  // Which steps are taken is settled before the clock says how many fit a sample.
  const int most = most_steps_of(sampling);
  const int grown = tokens_to_time(sampling);
  VORTEX_TRY(stepper.place(begin_of(stepper, batch.lengths, grown), batch.donors));
  double warm = 0;  // seconds of the last step that warms up
  for (int i = 0; i < sampling.warm_up; ++i) { VORTEX_ASSIGN(warm, stepper.run(1)); }
  int steps = sampling.steps;
  if (sampling.sample_seconds > 0 && warm > 0) {
    steps = std::clamp(static_cast<int>(std::ceil(sampling.sample_seconds / warm)), sampling.steps, most);
  }
  std::vector<double> samples;
  for (int i = 0; i < sampling.samples; ++i) {
    VORTEX_ASSIGN(const double seconds, stepper.run(steps));
    samples.push_back(seconds / steps);
  }
  return spread(std::move(samples));
}

StepCost fit_cost(const std::vector<Window>& windows) {
  const auto count = static_cast<double>(windows.size());
  double bytes = 0;
  double seconds = 0;
  for (const Window& window : windows) {
    bytes += window.bytes / count;
    seconds += window.step.median / count;
  }
  double spread = 0;
  double together = 0;
  for (const Window& window : windows) {
    spread += (window.bytes - bytes) * (window.bytes - bytes);
    together += (window.bytes - bytes) * (window.step.median - seconds);
  }
  if (spread <= kLeastSpread * kLeastSpread * bytes * bytes * count) { return {}; }
  const double slope = together / spread;
  const double fixed = seconds - slope * bytes;
  if (slope <= 0) { return {1, 0}; }  // nothing but launches
  return fixed > 0 ? StepCost{fixed, slope} : StepCost{};
}

Result<PlanTime> time_plan(Stepper& stepper, const Plan& plan, const std::vector<double>& round_bytes,
                           std::span<const PrefixPtr> donors, const PlanSampling& sampling) {
  if (plan.steps == 0) { return candidate_error("the workload decodes nothing: every answer is a single token"); }
  PlanTime time;
  const int64_t count = std::min<int64_t>(sampling.windows, plan.steps);
  for (int64_t i = 0; i < count; ++i) {
    Window window{plan.steps * i / count, plan.steps * (i + 1) / count, 0, {}};
    const auto into = static_cast<int64_t>(sampling.phase * static_cast<double>(window.end - window.first));
    const size_t round = round_at(plan, std::min(window.first + into, window.end - 1));
    VORTEX_ASSIGN(window.step, time_steps(stepper, {plan.rounds[round].lengths, donors}, sampling.steps));
    window.bytes = round_bytes[round];
    time.windows.push_back(window);
    time.placed_tokens += stepper.placed().tokens;
    time.real_tokens += stepper.placed().real;
    time.place_seconds += stepper.placed().seconds;
  }
  time.cost = fit_cost(time.windows);
  for_each_stretch(plan, time.windows, [&](const Window& window, size_t round, double steps) {
    const double scale = steps * time.cost.of(round_bytes[round]) / time.cost.of(window.bytes);
    time.decode.median += window.step.median * scale;
    time.decode.fastest += window.step.fastest * scale;
    time.decode.slowest += window.step.slowest * scale;
  });
  return time;
}

std::vector<double> clock_of_plan(const Plan& plan, const std::vector<double>& round_bytes, const PlanTime& time) {
  std::vector<double> clock(plan.rounds.size() + 1, 0);
  for_each_stretch(plan, time.windows, [&](const Window& window, size_t round, double steps) {
    const double scale = time.cost.of(round_bytes[round]) / time.cost.of(window.bytes);
    clock[round + 1] += window.step.median * steps * scale;
  });
  for (size_t i = 1; i < clock.size(); ++i) { clock[i] += clock[i - 1]; }
  return clock;
}

std::vector<double> token_times(const Plan& plan, const std::vector<double>& clock, double prompt_seconds) {
  // The seconds of decoding before a step, within a round in proportion.
  const auto at = [&](int64_t step) {
    if (step >= plan.steps) { return clock.back(); }
    const size_t round = round_at(plan, step);
    const double share =
        static_cast<double>(step - plan.rounds[round].first_step) / static_cast<double>(plan.rounds[round].steps);
    return clock[round] + share * (clock[round + 1] - clock[round]);
  };
  std::vector<int64_t> begins;  // in order: requests join in order
  for (const Stay& stay : plan.stays) { begins.push_back(stay.first); }
  std::vector<double> times;
  for (size_t i = 0; i < plan.stays.size(); ++i) {
    const Stay& stay = plan.stays[i];
    if (stay.end == stay.first) { continue; }
    const auto joined = std::lower_bound(begins.begin(), begins.end(), stay.end) - begins.begin();
    const double waited = prompt_seconds * static_cast<double>(joined - static_cast<std::ptrdiff_t>(i) - 1);
    times.push_back((at(stay.end) - at(stay.first) + waited) / static_cast<double>(stay.end - stay.first));
  }
  return times;
}

Result<double> time_prompt(Stepper& stepper, int tokens) {
  VORTEX_TRY(stepper.place({}, {}));
  if (stepper.on_device()) {  // the first one tunes
    VORTEX_TRY(stepper.admit(tokens));
    VORTEX_TRY(stepper.retire(0));
  }
  VORTEX_ASSIGN(const double seconds, stepper.admit(tokens));
  VORTEX_TRY(stepper.place({}, {}));
  return seconds;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) { return 0; }
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())))];
}

}  // namespace vortex::engine
