#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vortex::job {

// The stages of the ladder, in climbing order. check and novelty run in the orchestrator, the others in a worker.
enum class Stage { kCheck, kNovelty, kCompile, kValidate, kRecall, kGate, kRace, kSpeed, kConfirm };
std::string_view stage_name(Stage stage);
std::optional<Stage> stage_from_name(std::string_view name);

enum class Verdict { kPass, kFail, kPruned, kTimeout, kError };
std::string_view verdict_name(Verdict verdict);
std::optional<Verdict> verdict_from_name(std::string_view name);

// A measured value with its interval (95 % unless the name says otherwise); lo == hi == value when it is exact.
struct Metric {
  std::string name;  // e.g. "accuracy", "tokens_per_s", "speedup_vs_dense", "mass_recall"
  double value = 0;
  double lo = 0;
  double hi = 0;
  std::string unit;  // e.g. "tok/s", "" for a ratio
};

// One graded attempt at one problem. Accuracy is always stored this way, never only as a mean.
struct Outcome {
  std::string problem;  // stable id within the task, e.g. "chain-780-16-003"
  int trial = 0;        // where a problem asks for several answers, each trial has a number for each of them
  bool correct = false;
  int tokens = 0;
  std::string extracted;  // what the grader read, and by which rule
  std::string rule;
  std::string tokens_hash;  // SHA-256 over the token ids: what a replay must reproduce
};

// What one stage of one candidate came to.
struct StageResult {
  Stage stage = Stage::kCheck;
  Verdict verdict = Verdict::kError;
  std::optional<Blame> blame;  // present iff the verdict is fail, timeout or error
  std::string message;         // why, for a person; empty on a pass
  std::vector<Metric> metrics;
  std::vector<Outcome> outcomes;
  nlohmann::json evidence = nlohmann::json::object();  // hashes, device, launches, pages per layer, tokens decoded
  double seconds = 0;
  std::string log_tail;
};

// JSON both ways. Reading is strict: unknown keys, wrong types, unknown names and a blame that does not fit the verdict
// are refused (as the candidate's fault; callers that read what we wrote ourselves know better).
nlohmann::json to_json(const StageResult& result);
Result<StageResult> stage_result_from_json(const nlohmann::json& json);
nlohmann::json to_json(const Metric& metric);
Result<std::vector<Metric>> metrics_from_json(const nlohmann::json& json);  // an array of metrics
nlohmann::json to_json(const Outcome& outcome);
Result<Outcome> outcome_from_json(const nlohmann::json& json, const std::string& path);  // `path` is for messages

const Metric* find_metric(const std::vector<Metric>& metrics, std::string_view name);

}  // namespace vortex::job
