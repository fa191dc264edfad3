#include "sandbox/evidence_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

#include "base/text.h"

namespace vortex::sandbox {
namespace {

constexpr double kClockSlack = 0.5;  // seconds that a report may be on its way, either way
constexpr double kRounding = 1e-9;
constexpr size_t kHashDigits = 64;  // SHA-256
// The same in every result of a climb.
constexpr std::array kIdentity = {"model_hash", "device", "cpu_math", "cpu_unit", "program_hash", "policy_key"};

bool says(const nlohmann::json& evidence, const char* key, const nlohmann::json& value) {
  const auto found = evidence.find(key);
  return found != evidence.end() && *found == value;
}

bool is_hash(const std::string& text) {
  return text.size() == kHashDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool gives_outcomes(job::Stage stage) { return stage == job::Stage::kRace || stage == job::Stage::kConfirm; }

}  // namespace

std::string EvidenceCheck::identity_fault(const nlohmann::json& evidence, const std::string& build) {
  if (!says(evidence, "build_id", build)) { return "comes from another program than said hello"; }
  if (!says(evidence, "dense", job_.dense)) { return "is of another policy than was asked for"; }
  if (!says(evidence, "threads", job_.threads) || !says(evidence, "batch", job_.batch)) {
    return "was measured with other threads or another batch than was asked for";
  }
  if (evidence.contains("cpu_math") && !says(evidence, "cpu_math", job_.cpu_math)) {
    return "was computed in other arithmetic than was asked for";
  }
  if (evidence.value("tensor_parallel", 1) != job_.tensor_parallel) {
    return "was measured on another number of ranks than was asked for";
  }
  if (evidence.contains("policy_key") == job_.dense) { return "does not say which policy it is of"; }
  nlohmann::json identity;
  for (const char* key : kIdentity) { identity[key] = evidence.value(key, nlohmann::json()); }
  if (identity["model_hash"].is_null()) { return "does not say which model it is of"; }
  if (first_.is_null()) { first_ = identity; }
  for (const char* key : kIdentity) {
    if (identity[key] != first_[key]) { return std::string("has another ") + key + " than the one before"; }
  }
  return {};
}

std::string EvidenceCheck::outcomes_fault(const job::StageResult& result) const {
  std::set<std::pair<std::string, int>> answered;
  for (const job::Outcome& outcome : result.outcomes) {
    if (!answered.emplace(outcome.problem, outcome.trial).second) { return "answers " + outcome.problem + " twice"; }
    if (!is_hash(outcome.tokens_hash)) { return "has an answer without the hash of its tokens"; }
  }
  if (!gives_outcomes(result.stage)) { return {}; }
  const bool measured = result.verdict == job::Verdict::kPass || result.verdict == job::Verdict::kPruned;
  const job::Metric* claimed = job::find_metric(result.metrics, "accuracy");
  if (!measured && claimed == nullptr) { return {}; }
  if (claimed == nullptr || result.outcomes.empty()) { return "claims to pass without an answer to any problem"; }
  const auto right = std::count_if(result.outcomes.begin(), result.outcomes.end(),
                                   [](const job::Outcome& outcome) { return outcome.correct; });
  const double accuracy = static_cast<double>(right) / static_cast<double>(result.outcomes.size());
  if (std::abs(accuracy - claimed->value) <= kRounding) { return {}; }
  return "claims an accuracy of " + format_number(claimed->value) + ", but its answers make " + format_number(accuracy);
}

std::string EvidenceCheck::fault(const job::StageResult& result, const std::string& build, double most) {
  if (result.evidence.empty()) { return "has no evidence"; }
  if (result.seconds > most + kClockSlack) {
    return "claims " + format_number(result.seconds) + " s, but it took " + format_number(most) + " s at most";
  }
  const bool passed = result.verdict == job::Verdict::kPass || result.verdict == job::Verdict::kPruned;
  if (!says(result.evidence, "measured", false)) {
    if (std::string doubt = identity_fault(result.evidence, build); !doubt.empty()) { return doubt; }
  } else if (passed) {
    return "passed without measuring anything";
  }
  return outcomes_fault(result);
}

}  // namespace vortex::sandbox
