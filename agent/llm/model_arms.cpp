// Which of several language models is asked: by what its policies came to so far.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "agent/llm/models.h"
#include "base/rng.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

constexpr double kPassReward = 0.3;

// Who wrote the candidates of a place: the model of the place's answered question.
std::map<std::tuple<int64_t, int64_t>, std::string> writers_of(const std::vector<db::LlmCall>& calls) {
  std::map<std::tuple<int64_t, int64_t>, std::string> writers;
  for (const db::LlmCall& call : calls) {
    if (call.state == db::CallState::kAnswered && call.draw == 0) { writers[{call.batch, 0}] = call.model; }
    if (call.state == db::CallState::kAnswered && call.draw > 0) {
      writers[{call.batch, 1 + call.slot * 100 + call.draw}] = call.model;
    }
  }
  return writers;
}

// Dollars a policy; models without a price count as the cheapest.
double cost_of(const ModelArm& arm) { return arm.policies > 0 ? arm.dollars / static_cast<double>(arm.policies) : 0.0; }

}  // namespace

Result<std::vector<ModelArm>> model_arms(db::Store& store, const study::History& history,
                                         const study::SearchOptions& options, const Roster& roster) {
  VORTEX_ASSIGN(const std::vector<db::LlmCall> calls, store.llm_calls(history.run.id));
  std::map<std::string, ModelArm> by_name;
  for (const db::LlmCall& call : calls) { by_name[call.model].dollars += call.dollars; }
  const auto writers = writers_of(calls);
  const study::Standing standing = study::standing_of(history, options);
  for (const study::CandidateHistory& candidate : history.candidates) {
    const db::Candidate& row = candidate.row;
    const bool repair = row.origin == db::Origin::kRepair;
    if ((row.origin != db::Origin::kLlm && !repair) || !study::is_done(row)) { continue; }
    const auto writer = writers.find({row.batch, repair ? 1 + row.slot * 100 + row.draw : 0});
    if (writer == writers.end()) { continue; }
    ModelArm& arm = by_name[writer->second];
    ++arm.policies;
    if (study::has_passed(row)) { arm.reward += standing.archive().on_front(row.id) ? 1.0 : kPassReward; }
  }
  std::vector<ModelArm> arms;
  for (const ModelSpec& model : roster.models) { arms.push_back(by_name[model.name]); }
  return arms;
}

size_t choose_model(const Roster& roster, const std::vector<ModelArm>& arms, const std::vector<size_t>& awake,
                    uint64_t key) {
  if (!roster.bandit) {
    double total = 0;
    for (size_t i : awake) { total += roster.models[i].weight; }
    double left = Rng(key).uniform() * total;
    for (size_t i : awake) {
      left -= roster.models[i].weight;
      if (left < 0) { return i; }
    }
    return awake.back();
  }
  double played = 0;
  double cheapest = 0;
  for (size_t i : awake) {
    if (arms[i].policies == 0) { return i; }
    played += static_cast<double>(arms[i].policies);
    const double cost = cost_of(arms[i]);
    if (cost > 0 && (cheapest == 0 || cost < cheapest)) { cheapest = cost; }
  }
  const auto value = [&](size_t i) {
    const auto policies = static_cast<double>(arms[i].policies);
    const double bound = arms[i].reward / policies + std::sqrt(2 * std::log(played) / policies);
    const double cost = cheapest > 0 ? std::max(1.0, cost_of(arms[i]) / cheapest) : 1.0;
    return bound / std::sqrt(cost);
  };
  return *std::max_element(awake.begin(), awake.end(), [&](size_t a, size_t b) { return value(a) < value(b); });
}

}  // namespace vortex::agent
