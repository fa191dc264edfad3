#include "agent/llm/models.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "base/json_reader.h"
#include "base/rng.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr double kPassReward = 0.3;

Result<ModelSpec> model_from_json(const json& value, const std::string& path) {
  ModelSpec spec;
  JsonReader reader(value, path);
  reader.required("name", spec.name);
  reader.required("url", spec.url);
  reader.required("api", spec.api);
  reader.required("model", spec.model);
  reader.optional("key_env", spec.key_env);
  reader.optional("weight", spec.weight);
  reader.optional("input_price", spec.input_price);
  reader.optional("output_price", spec.output_price);
  reader.optional("max_output_tokens", spec.max_output_tokens);
  reader.optional("temperature", spec.temperature);
  reader.optional("stream", spec.stream);
  reader.optional("idle_seconds", spec.idle_seconds);
  reader.optional("total_seconds", spec.total_seconds);
  std::string output = "text";
  reader.optional("output", output);
  if (output == "schema") { spec.output = OutputForm::kSchema; }
  if (output == "tool") { spec.output = OutputForm::kTool; }
  if (output != "text" && output != "schema" && output != "tool") {
    reader.refuse("output", "must be text, schema or tool");
  }
  if (const json* extra = reader.find("extra", false)) {
    spec.extra = *extra;
    if (!extra->is_object()) { reader.refuse("extra", "must be an object"); }
  }
  if (spec.weight < 0) { reader.refuse("weight", "must not be negative"); }
  if (spec.max_output_tokens < 1) { reader.refuse("max_output_tokens", "must be at least 1"); }
  if (spec.name.empty()) { reader.refuse("name", "must not be empty"); }
  reader.take([&]() -> Status {
    VORTEX_TRY(find_wire(spec.api));
    return ok_status();
  }());
  VORTEX_TRY(reader.finish());
  while (!spec.url.empty() && spec.url.back() == '/') { spec.url.pop_back(); }
  return spec;
}

Status check_roster(const Roster& roster, bool needs_prices) {
  std::set<std::string> names;
  double weight = 0;
  for (const ModelSpec& model : roster.models) {
    weight += model.weight;
    if (!names.insert(model.name).second) { return candidate_error("two models are called " + model.name); }
    if (needs_prices && (model.input_price < 0 || model.output_price < 0)) {
      return candidate_error("a budget of dollars needs the prices of " + model.name,
                             "add input_price and output_price (dollars a million tokens) to the models file");
    }
  }
  if (weight <= 0) { return candidate_error("the models file names no model with a weight above 0"); }
  return ok_status();
}

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

double ModelSpec::dollars(int64_t input_tokens, int64_t output_tokens) const {
  return (std::max(0.0, input_price) * static_cast<double>(input_tokens) +
          std::max(0.0, output_price) * static_cast<double>(output_tokens)) /
         1e6;
}

Result<Roster> roster_from_json(std::string_view text, bool needs_prices) {
  const json value = json::parse(text.begin(), text.end(), nullptr, false);
  if (value.is_discarded()) { return candidate_error("the models file is no JSON"); }
  Roster roster;
  JsonReader reader(value, "models file");
  std::string choice = "weights";
  reader.optional("choice", choice);
  roster.bandit = choice == "bandit";
  if (choice != "bandit" && choice != "weights") { reader.refuse("choice", "must be weights or bandit"); }
  reader.optional("attempts", roster.attempts);
  reader.optional("longest_wait", roster.longest_wait);
  reader.optional("first_pause", roster.first_pause);
  reader.optional("rest_seconds", roster.rest_seconds);
  if (roster.attempts < 1) { reader.refuse("attempts", "must be at least 1"); }
  const json* models = reader.find("models", true);
  if (models != nullptr && !models->is_array()) { reader.refuse("models", "must be an array"); }
  VORTEX_TRY(reader.finish());
  for (size_t i = 0; i < models->size(); ++i) {
    VORTEX_ASSIGN(ModelSpec spec, model_from_json((*models)[i], "models[" + std::to_string(i) + "]"));
    roster.models.push_back(std::move(spec));
  }
  VORTEX_TRY(check_roster(roster, needs_prices));
  return roster;
}

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
