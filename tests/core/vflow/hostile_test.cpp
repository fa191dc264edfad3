// Policies that want to exhaust, deceive or break whoever checks them (tests/cases/check/hostile.json).

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "tests/core/vflow/check_cases.h"

namespace vortex::vflow {
namespace {

using nlohmann::json;

// What a report may come to, whatever was written: findings, and bytes of each.
constexpr size_t kMostFindings = 80;
constexpr size_t kMostBytes = 4096;

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::string text_of(const json& parts) {
  std::string text;
  for (const json& part : parts) {
    if (part.is_string()) {
      text += part.get<std::string>();
      continue;
    }
    const std::string pattern = part[1];
    const bool counts = pattern.find('{') != std::string::npos;
    for (int i = 0; i < part[0].get<int>(); ++i) {
      std::string one = pattern;
      if (counts) {
        replace_all(one, "{i}", std::to_string(i));
        replace_all(one, "{i+1}", std::to_string(i + 1));
        replace_all(one, "{i-1}", std::to_string(i - 1));
        replace_all(one, "{blanks}", std::string(static_cast<size_t>(i), ' '));
      }
      text += one;
    }
  }
  return text;
}

std::string verdict_of(const CheckReport& report) {
  for (const Diagnostic& finding : report.diagnostics) {
    if (finding.severity == Severity::kError) { return finding.code; }
  }
  return report.policy ? "ok" : "nothing";
}

TEST(Hostile, EveryPolicyEndsInAShortReport) {
  const Result<std::string> text = read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/check/hostile.json");
  ASSERT_TRUE(text.ok());
  const json cases = json::parse(*text)["cases"];
  EXPECT_GE(cases.size(), 80U);
  std::set<std::string> names;
  for (const json& one : cases) {
    const std::string name = one["name"];
    SCOPED_TRACE(name);
    EXPECT_TRUE(names.insert(name).second);
    PolicySource source;
    source.module_text = text_of(one["module"]);
    source.config_text = one.contains("config") ? text_of(one["config"]) : "{}";
    const CheckReport report = check_policy(source, test_model());
    EXPECT_EQ(verdict_of(report), one["expect"].get<std::string>()) << render(report.diagnostics).substr(0, 2000);
    EXPECT_LE(report.diagnostics.size(), kMostFindings);
    for (const Diagnostic& finding : report.diagnostics) {
      EXPECT_LE(render(finding).size(), kMostBytes);
      EXPECT_FALSE(json::parse(to_json(finding), nullptr, false).is_discarded());
    }
  }
}

}  // namespace
}  // namespace vortex::vflow
