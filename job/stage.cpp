#include "job/stage.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json_reader.h"

namespace vortex::job {
namespace {

constexpr bool in_order() {
  for (size_t i = 0; i < kLadder.size(); ++i) {
    if (kLadder[i].stage != static_cast<Stage>(i)) { return false; }
  }
  return true;
}
static_assert(in_order(), "kLadder lists the stages in the order of the enum: stage_info looks them up by it");

Result<Metric> metric_from_json(const nlohmann::json& json, const std::string& path) {
  Metric metric;
  JsonReader reader(json, path);
  reader.required("name", metric.name);
  reader.required("value", metric.value);
  reader.required("lo", metric.lo);
  reader.required("hi", metric.hi);
  reader.required("unit", metric.unit);
  if (metric.name.empty()) { reader.refuse("name", "must not be empty"); }
  if (metric.lo > metric.hi) { reader.refuse("lo", "must not exceed hi"); }
  VORTEX_TRY(reader.finish());
  return metric;
}

// Reads `key`, an optional array of objects, with `parse(json, path)`.
template <typename T, typename Parse>
void read_array(JsonReader& reader, const char* key, std::vector<T>& target, Parse parse) {
  const nlohmann::json* array = reader.find(key, false);
  if (array == nullptr) { return; }
  if (!array->is_array()) { return reader.refuse(key, "must be an array"); }
  target.reserve(array->size());
  for (size_t i = 0; i < array->size(); ++i) {
    Result<T> item = parse((*array)[i], reader.path() + "." + key + "[" + std::to_string(i) + "]");
    if (!item.ok()) { return reader.take(item.error()); }
    target.push_back(std::move(item).value());
  }
}

// Reads the members that go by name: stage, verdict and blame.
void read_names(JsonReader& reader, StageResult& result) {
  std::string stage;
  std::string verdict;
  std::string blame;
  reader.required("stage", stage);
  reader.required("verdict", verdict);
  reader.optional("blame", blame);
  const auto known_stage = stage_from_name(stage);
  const auto known_verdict = verdict_from_name(verdict);
  if (!known_stage) { return reader.refuse("stage", "is no stage: \"" + stage + "\""); }
  if (!known_verdict) { return reader.refuse("verdict", "is no verdict: \"" + verdict + "\""); }
  result.stage = *known_stage;
  result.verdict = *known_verdict;
  if (!blame.empty() && !(result.blame = blame_from_name(blame))) {
    return reader.refuse("blame", "names nobody: \"" + blame + "\"");
  }
  const bool someone_to_blame = result.verdict != Verdict::kPass && result.verdict != Verdict::kPruned;
  if (someone_to_blame && !result.blame) {
    reader.refuse("blame", "is missing: somebody is to blame for a " + verdict);
  }
  if (!someone_to_blame && result.blame) {
    reader.refuse("blame", "must be absent: nobody is to blame for a " + verdict);
  }
}

}  // namespace

const StageInfo& stage_info(Stage stage) { return kLadder[static_cast<size_t>(stage)]; }

std::vector<Stage> default_climb() {
  std::vector<Stage> stages;
  for (const StageInfo& info : kLadder) {
    if (info.in_worker && info.by_default) { stages.push_back(info.stage); }
  }
  return stages;
}

std::string_view stage_name(Stage stage) { return stage_info(stage).name; }

std::optional<Stage> stage_from_name(std::string_view name) {
  for (const StageInfo& info : kLadder) {
    if (info.name == name) { return info.stage; }
  }
  return std::nullopt;
}

std::string_view verdict_name(Verdict verdict) { return name_of(verdict); }

std::optional<Verdict> verdict_from_name(std::string_view name) { return from_name<Verdict>(name); }

nlohmann::json to_json(const Metric& metric) {
  return {{"name", metric.name}, {"value", metric.value}, {"lo", metric.lo}, {"hi", metric.hi}, {"unit", metric.unit}};
}

Result<std::vector<Metric>> metrics_from_json(const nlohmann::json& json) {
  std::vector<Metric> metrics;
  if (!json.is_array()) { return candidate_error("metrics must be an array"); }
  for (size_t i = 0; i < json.size(); ++i) {
    VORTEX_ASSIGN(Metric metric, metric_from_json(json[i], "metrics[" + std::to_string(i) + "]"));
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

nlohmann::json to_json(const Outcome& outcome) {
  return {{"problem", outcome.problem},        {"trial", outcome.trial}, {"correct", outcome.correct},
          {"tokens", outcome.tokens},          {"rule", outcome.rule},   {"extracted", outcome.extracted},
          {"tokens_hash", outcome.tokens_hash}};
}

Result<Outcome> outcome_from_json(const nlohmann::json& json, const std::string& path) {
  Outcome outcome;
  JsonReader reader(json, path);
  reader.required("problem", outcome.problem);
  reader.required("trial", outcome.trial);
  reader.required("correct", outcome.correct);
  reader.required("tokens", outcome.tokens);
  reader.required("extracted", outcome.extracted);
  reader.required("rule", outcome.rule);
  reader.required("tokens_hash", outcome.tokens_hash);
  if (outcome.problem.empty()) { reader.refuse("problem", "must not be empty"); }
  if (outcome.trial < 0) { reader.refuse("trial", "must not be negative"); }
  if (outcome.tokens < 0) { reader.refuse("tokens", "must not be negative"); }
  VORTEX_TRY(reader.finish());
  return outcome;
}

nlohmann::json to_json(const StageResult& result) {
  nlohmann::json json = {{"stage", stage_name(result.stage)},   {"verdict", verdict_name(result.verdict)},
                         {"message", result.message},           {"metrics", nlohmann::json::array()},
                         {"outcomes", nlohmann::json::array()}, {"evidence", result.evidence},
                         {"seconds", result.seconds},           {"log_tail", result.log_tail}};
  if (result.blame) { json["blame"] = blame_name(*result.blame); }
  for (const Metric& metric : result.metrics) { json["metrics"].push_back(to_json(metric)); }
  for (const Outcome& outcome : result.outcomes) { json["outcomes"].push_back(to_json(outcome)); }
  return json;
}

Result<StageResult> stage_result_from_json(const nlohmann::json& json) {
  StageResult result;
  JsonReader reader(json, "result");
  read_names(reader, result);
  reader.optional("message", result.message);
  read_array(reader, "metrics", result.metrics, metric_from_json);
  read_array(reader, "outcomes", result.outcomes, outcome_from_json);
  if (const nlohmann::json* evidence = reader.find("evidence", false)) {
    if (!evidence->is_object()) { reader.refuse("evidence", "must be an object"); }
    result.evidence = *evidence;
  }
  reader.required("seconds", result.seconds);
  reader.optional("log_tail", result.log_tail);
  if (result.seconds < 0) { reader.refuse("seconds", "must not be negative"); }
  VORTEX_TRY(reader.finish());
  return result;
}

const Metric* find_metric(const std::vector<Metric>& metrics, std::string_view name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& m) { return m.name == name; });
  return found == metrics.end() ? nullptr : &*found;
}

}  // namespace vortex::job
