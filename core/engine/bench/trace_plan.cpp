#include "core/engine/bench/trace_plan.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/rng.h"
#include "core/engine/schedule.h"

namespace vortex::bench {
namespace {

class Planner {
 public:
  Planner(const std::vector<int>& outputs, int prompt, int max_batch, int steps_per_round, int block, int64_t pages)
      : outputs_(outputs),
        prompt_(prompt),
        max_batch_(max_batch),
        steps_per_round_(steps_per_round),
        block_(block),
        pages_(pages) {}

  TracePlan run() {
    double batch = 0;
    while (next_ < outputs_.size() || !active_.empty()) {
      admit();
      if (active_.empty()) continue;  // answers of one token
      plan_.rounds.push_back(decode());
      const Round& round = plan_.rounds.back();
      plan_.steps += round.steps;
      plan_.tokens += round.tokens;
      batch += static_cast<double>(round.lengths.size()) * round.steps;
    }
    plan_.tokens += static_cast<int64_t>(outputs_.size());
    plan_.mean_batch = batch / static_cast<double>(std::max<int64_t>(1, plan_.steps));
    return std::move(plan_);
  }

 private:
  void admit() {
    while (next_ < outputs_.size() && static_cast<int>(active_.size()) < max_batch_) {
      const engine::Growth growth{prompt_, outputs_[next_] - 1};
      std::vector<engine::Growth> all = active_;
      all.push_back(growth);
      if (!active_.empty() && engine::peak_pages(std::move(all), block_, steps_per_round_) > pages_) return;
      if (growth.more > 0) active_.push_back(growth);
      ++next_;
    }
  }

  Round decode() {
    Round round;
    round.first_step = plan_.steps;
    int64_t most = 0;
    int64_t held = 0;
    for (const engine::Growth& active : active_) most = std::max(most, active.more);
    round.steps = static_cast<int>(std::min<int64_t>(steps_per_round_, most));
    for (engine::Growth& active : active_) {
      round.lengths.push_back(static_cast<int>(active.tokens));
      const int64_t taken = std::min<int64_t>(round.steps, active.more);
      active.tokens += taken;
      active.more -= taken;
      round.tokens += taken;
      held += (active.tokens + block_ - 1) / block_;
    }
    plan_.most_pages = std::max(plan_.most_pages, held);
    std::erase_if(active_, [](const engine::Growth& active) { return active.more == 0; });
    return round;
  }

  const std::vector<int>& outputs_;
  int prompt_;
  int max_batch_;
  int steps_per_round_;
  int block_;
  int64_t pages_;
  size_t next_ = 0;
  std::vector<engine::Growth> active_;
  TracePlan plan_;
};

}  // namespace

std::vector<int> output_lengths(const Options& options) {
  Rng rng(stream_key(options.seed));
  const double mu = std::log(options.mean_output) - options.sigma * options.sigma / 2;
  const int count = std::max(1, static_cast<int>(std::lround(options.requests * options.scale)));
  std::vector<int> lengths;
  for (int i = 0; i < count; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
    const double normal = radius * std::cos(2 * std::numbers::pi * rng.uniform());
    const double length = std::exp(mu + options.sigma * normal);
    lengths.push_back(std::clamp(static_cast<int>(length), 2, options.longest_output));
  }
  return lengths;
}

TracePlan plan_trace(const std::vector<int>& outputs, int prompt, int max_batch, int steps_per_round, int block,
                     int64_t pages) {
  return Planner(outputs, prompt, max_batch, steps_per_round, block, pages).run();
}

}  // namespace vortex::bench
