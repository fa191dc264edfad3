#include "core/engine/workload/plan.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/rng.h"
#include "core/engine/limit.h"
#include "core/engine/schedule.h"

namespace vortex::engine {
namespace {

class Planner {
 public:
  Planner(const std::vector<RequestLength>& requests, const PlanLimits& limits)
      : requests_(requests), limits_(limits) {}

  Plan run() {
    double batch = 0;
    while (next_ < requests_.size() || !active_.empty()) {
      admit();
      if (active_.empty()) {
        continue;  // answers of one token
      }
      plan_.rounds.push_back(decode());
      const Round& round = plan_.rounds.back();
      plan_.steps += round.steps;
      batch += static_cast<double>(round.lengths.size()) * round.steps;
    }
    plan_.mean_batch = batch / static_cast<double>(std::max<int64_t>(1, plan_.steps));
    return std::move(plan_);
  }

 private:
  struct Active {
    size_t request = 0;
    Growth growth;
  };

  bool has_room_for(const Growth& next) const {
    if (active_.empty()) { return true; }
    std::vector<Growth> all = {next};
    for (const Active& active : active_) { all.push_back(active.growth); }
    return peak_pages(std::move(all), limits_.block, limits_.steps_per_round) <= limits_.pages;
  }

  void admit() {
    while (next_ < requests_.size() && static_cast<int>(active_.size()) < limits_.max_batch) {
      const RequestLength& request = requests_[next_];
      const Growth growth{request.prompt, request.answer - 1};
      if (!has_room_for(growth)) { return; }
      plan_.stays.push_back({plan_.steps, plan_.steps + growth.more});
      plan_.tokens += request.answer;
      if (growth.more > 0) { active_.push_back({next_, growth}); }
      ++next_;
    }
  }

  Round decode() {
    Round round;
    round.first_step = plan_.steps;
    int64_t most = 0;
    int64_t held = 0;
    for (const Active& active : active_) { most = std::max(most, active.growth.more); }
    round.steps = static_cast<int>(std::min<int64_t>(limits_.steps_per_round, most));
    for (Active& active : active_) {
      Growth& growth = active.growth;
      round.lengths.push_back(static_cast<int>(growth.tokens));
      const int64_t taken = std::min<int64_t>(round.steps, growth.more);
      growth.tokens += taken;
      growth.more -= taken;
      round.tokens += taken;
      held += (growth.tokens + limits_.block - 1) / limits_.block;
    }
    plan_.most_pages = std::max(plan_.most_pages, held);
    std::erase_if(active_, [](const Active& active) { return active.growth.more == 0; });
    return round;
  }

  const std::vector<RequestLength>& requests_;
  PlanLimits limits_;
  size_t next_ = 0;
  std::vector<Active> active_;
  Plan plan_;
};

}  // namespace

std::vector<int> draw_lengths(const LogNormal& answers, int count, uint64_t seed) {
  Rng rng(stream_key(seed));
  const double mu = std::log(answers.mean) - answers.sigma * answers.sigma / 2;
  std::vector<int> lengths;
  for (int i = 0; i < count; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
    const double normal = radius * std::cos(2 * std::numbers::pi * rng.uniform());
    const double length = std::min(std::exp(mu + answers.sigma * normal), static_cast<double>(answers.longest));
    lengths.push_back(std::max(2, static_cast<int>(length)));
  }
  return lengths;
}

Plan plan_requests(const std::vector<RequestLength>& requests, const PlanLimits& limits) {
  return Planner(requests, limits).run();
}

std::vector<double> bytes_of_rounds(const Plan& plan, const model::ModelConfig& model, const vflow::Policy* policy,
                                    vflow::Dtype kv_dtype, vflow::Dtype experts) {
  std::vector<double> bytes;
  for (const Round& round : plan.rounds) {
    std::vector<int> middle = round.lengths;
    for (int& length : middle) { length += (round.steps + 1) / 2; }
    bytes.push_back(static_cast<double>(step_bytes(model, policy, kv_dtype, middle, experts).total()));
  }
  return bytes;
}

double bytes_of_steps(const Plan& plan, const std::vector<double>& round_bytes) {
  double bytes = 0;
  for (size_t i = 0; i < round_bytes.size(); ++i) { bytes += round_bytes[i] * plan.rounds[i].steps; }
  return bytes;
}

}  // namespace vortex::engine
