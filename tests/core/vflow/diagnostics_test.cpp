#include "core/vflow/diagnostics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/vflow/source.h"

namespace vortex::vflow {
namespace {

TEST(Diagnostics, RenderedLikeACompiler) {
  Diagnostic finding;
  finding.code = "unknown-op";
  finding.file = "a.py";
  finding.line = 12;
  finding.column = 5;
  finding.length = 4;
  finding.source_line = "x = topk()";
  finding.message = "no operation \"topk\"";
  finding.allowed = "topK, TopK";
  finding.suggestion = "did you mean \"topK\"?";
  EXPECT_EQ(render(finding),
            "a.py:12:5: error: no operation \"topk\" [unknown-op]\n"
            "  12 | x = topk()\n"
            "     |     ^~~~\n"
            "  allowed: topK, TopK\n"
            "  hint: did you mean \"topK\"?\n");
}

TEST(Diagnostics, WithoutAPlace) {
  Diagnostic finding;
  finding.severity = Severity::kWarning;
  finding.code = "model";
  finding.file = "model";
  finding.message = "odd";
  EXPECT_EQ(render(finding), "model: warning: odd [model]\n");
  EXPECT_FALSE(has_errors({finding}));
}

TEST(Diagnostics, ColumnsCountCharacters) {
  const std::string text = "s = \"größe\" + x\n\ty\n";
  const Source source("a.py", text);
  std::vector<Diagnostic> findings;
  Reporter reporter(source, findings);
  const auto at = static_cast<uint32_t>(text.find('x'));
  reporter.error({at, at + 1}, {"c", "m"});
  const auto tab = static_cast<uint32_t>(text.find('y'));
  reporter.error({tab, tab + 1}, {"c", "m"});
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].column, 15);
  EXPECT_EQ(findings[1].line, 2);
  EXPECT_EQ(findings[1].column, 2);
  EXPECT_NE(render(findings[1]).find("    | \t^"), std::string::npos);
}

TEST(Diagnostics, OneFindingAPlaceAndAnEnd) {
  const std::string text(100, '\n');
  const Source source("a.py", text);
  std::vector<Diagnostic> findings;
  Reporter reporter(source, findings);
  for (uint32_t i = 0; i < 100; ++i) {
    reporter.error({i, i}, {"c", "first"});
    reporter.error({i, i}, {"c", "second"});
  }
  EXPECT_EQ(reporter.errors(), 200);
  EXPECT_EQ(findings.size(), 40U);
  EXPECT_EQ(findings[1].message, "first");
}

TEST(Diagnostics, JsonOfAnyBytes) {
  Diagnostic finding;
  finding.code = "c";
  finding.source_line = "\xff\xfe \"x\"";
  finding.message = "m";
  const auto object = nlohmann::json::parse(to_json(finding));
  EXPECT_EQ(object["severity"], "error");
  EXPECT_EQ(object["code"], "c");
  EXPECT_EQ(object.size(), 11U);
}

}  // namespace
}  // namespace vortex::vflow
