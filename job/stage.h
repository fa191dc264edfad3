#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "base/result.h"

namespace vortex::job {

enum class Stage { kCheck, kNovelty, kCompile, kValidate, kRecall, kGate, kRace, kSpeed, kConfirm };

// The ladder: its stages in climbing order, with all that is known of them outside the worker. What a stage does there
// stands beside it in evals/ladder/climb.cpp.
struct StageInfo {
  Stage stage;
  std::string_view name;
  bool in_worker;           // else it is the orchestrator's, at the moment of the proposal
  bool by_default;          // climbed unless the job says otherwise
  double deadline_seconds;  // where nobody sets another; 0: none, it is no worker's
};
inline constexpr double kStageDeadline = 600;
inline constexpr std::array<StageInfo, 9> kLadder = {{
    {Stage::kCheck, "check", false, true, 0},
    {Stage::kNovelty, "novelty", false, true, 0},
    {Stage::kCompile, "compile", true, true, kStageDeadline},
    {Stage::kValidate, "validate", true, true, kStageDeadline},
    {Stage::kRecall, "recall", true, true, kStageDeadline},
    {Stage::kGate, "gate", true, false, kStageDeadline},
    {Stage::kRace, "race", true, true, kStageDeadline},
    {Stage::kSpeed, "speed", true, true, kStageDeadline},
    {Stage::kConfirm, "confirm", true, false, kStageDeadline},
}};
const StageInfo& stage_info(Stage stage);
// The worker's stages that a job climbs unless it says otherwise.
std::vector<Stage> default_climb();

std::string_view stage_name(Stage stage);
std::optional<Stage> stage_from_name(std::string_view name);

enum class Verdict { kPass, kFail, kPruned, kTimeout, kError };
inline constexpr std::array kVerdicts = {Verdict::kPass, Verdict::kFail, Verdict::kPruned, Verdict::kTimeout,
                                         Verdict::kError};
std::string_view verdict_name(Verdict verdict);
std::optional<Verdict> verdict_from_name(std::string_view name);
// Into JSON by their names.
inline void to_json(nlohmann::json& json, Stage stage) { json = stage_name(stage); }
inline void to_json(nlohmann::json& json, Verdict verdict) { json = verdict_name(verdict); }

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

template <>
inline constexpr std::array<std::string_view, 5> vortex::kNames<vortex::job::Verdict> = {"pass", "fail", "pruned",
                                                                                         "timeout", "error"};
