#include "agent/llm/models.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/json_reader.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

// Endpoints are named by what paths are put behind, or, as their own examples do, with the path itself.
std::string base_url(std::string url, std::string_view path) {
  const auto trim = [&] {
    while (url.ends_with('/')) { url.pop_back(); }
  };
  trim();
  if (url.ends_with(path)) { url.resize(url.size() - path.size()); }
  trim();
  return url;
}

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
  VORTEX_ASSIGN(const WireFormat* wire, find_wire(spec.api));
  spec.url = base_url(spec.url, wire->path);
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

}  // namespace

double ModelSpec::dollars(int64_t input_tokens, int64_t output_tokens) const {
  return (std::max(0.0, input_price) * static_cast<double>(input_tokens) +
          std::max(0.0, output_price) * static_cast<double>(output_tokens)) /
         1e6;
}

Result<Roster> roster_from_json(std::string_view text, bool needs_prices) {
  const json value = parse_json(text);
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

}  // namespace vortex::agent
