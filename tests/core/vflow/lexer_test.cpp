#include "core/vflow/syntax/lexer.h"

#include <gtest/gtest.h>

#include "core/vflow/syntax/parser.h"

namespace vortex::vflow {
namespace {

// Tokens by kind: names, integers, floats and strings as text, I and D for the margin, / for the end of a line.
std::string lex(std::string_view text, size_t* findings = nullptr) {
  const Source source("a.py", text);
  std::vector<Diagnostic> diagnostics;
  Reporter reporter(source, diagnostics);
  std::string result;
  for (const Token& token : tokenize(reporter).tokens) {
    if (!result.empty()) { result += ' '; }
    switch (token.kind) {
      case TokenKind::kNewline:
        result += "/";
        break;
      case TokenKind::kIndent:
        result += "I";
        break;
      case TokenKind::kDedent:
        result += "D";
        break;
      case TokenKind::kEnd:
        result += "$";
        break;
      default:
        result += token.text;
    }
  }
  if (findings != nullptr) { *findings = diagnostics.size(); }
  return result;
}

TEST(Lexer, Lines) {
  EXPECT_EQ(lex(""), "$");
  EXPECT_EQ(lex("a"), "a / $");
  EXPECT_EQ(lex("a\n\n  # only a comment\nb\n"), "a / b / $");
  EXPECT_EQ(lex("a = (1,\n  2)\nb"), "a = ( 1 , 2 ) / b / $");
  EXPECT_EQ(lex("a = 1 + \\\n  2\n"), "a = 1 + 2 / $");
  EXPECT_EQ(lex("a\r\nb\r\n"), "a / b / $");
}

TEST(Lexer, Margins) {
  EXPECT_EQ(lex("if a:\n  b\n  c\nd\n"), "if a : / I b / c / D d / $");
  EXPECT_EQ(lex("if a:\n  if b:\n    c\nd"), "if a : / I if b : / I c / D D d / $");
  EXPECT_EQ(lex("if a:\n  b\n\n# left\n  c\n"), "if a : / I b / c / D $");
  size_t findings = 0;
  lex("if a:\n    b\n  c\n", &findings);
  EXPECT_EQ(findings, 1U);
}

TEST(Lexer, NumbersAndStrings) {
  EXPECT_EQ(lex("1 1.5 .5 1e-6 1_000 0x1F 3."), "1 1.5 .5 1e-6 1_000 0x1F 3. / $");
  EXPECT_EQ(lex("'a' \"b\" r'\\d' f\"{x}\" '''a\nb'''"), "'a' \"b\" r'\\d' f\"{x}\" '''a\nb''' / $");
  EXPECT_EQ(lex("'it\\'s'"), "'it\\'s' / $");
  EXPECT_EQ(lex("a**b//c!=d"), "a ** b // c != d / $");
}

TEST(Lexer, MistakesAreReportedOnce) {
  for (const char* text :
       {"a = 'x\n", "a = (\n", "a = )\n", "a $ b\n", "1abc\n", "a = '''x\n", "gr\xC3\xB6\xC3\x9F = 1\n", "\x01\n"}) {
    size_t findings = 0;
    lex(text, &findings);
    EXPECT_EQ(findings, 1U) << text;
  }
}

TEST(Lexer, AForgottenBracketDoesNotSwallowTheNextStatement) {
  size_t findings = 0;
  EXPECT_EQ(lex("a = (1,\ndef f():\n  pass\n", &findings), "a = ( 1 , / def f ( ) : / I pass / D $");
  EXPECT_EQ(findings, 1U);
}

std::string parse_findings(std::string_view text) {
  const Source source("a.py", text);
  std::vector<Diagnostic> diagnostics;
  Reporter reporter(source, diagnostics);
  parse_module(reporter);
  std::string result;
  for (const Diagnostic& finding : diagnostics) { result += std::to_string(finding.line) + ":" + finding.code + " "; }
  return result;
}

TEST(Parser, AcceptsTheSubset) {
  EXPECT_EQ(parse_findings("a, (b, c) = 1, (2, 3)\na = b = 3\na: int = 3\na += 1\n"), "");
  EXPECT_EQ(parse_findings("x = [i * 2 for i in range(3) if i if i > 1 for j in [1, 2]]\n"), "");
  EXPECT_EQ(parse_findings("x = {k: v for k, v in zip([1], [2])}\nx = {}\nx = {'a': 1,}\n"), "");
  EXPECT_EQ(parse_findings("x = a if b else c\nx = not a or b and c\nx = 1 < a <= 3 != b\nx = a not in b\n"), "");
  EXPECT_EQ(parse_findings("x = -2 ** -2\nx = a[1:2], a[:], a[::2], a[-1]\nx = ()\nx = (1,)\n"), "");
  EXPECT_EQ(parse_findings("def f(a, b: int = 3, c=None) -> None: return a\n"), "");
  EXPECT_EQ(parse_findings("class A: pass\nclass B(A, object):\n  x = 1\n  def f(self): ...\n"), "");
  EXPECT_EQ(parse_findings("if a:\n  pass\nelif b:\n  pass\nelse:\n  pass\n"), "");
  EXPECT_EQ(parse_findings("for a, b in c:\n  continue\n"), "");
  EXPECT_EQ(parse_findings("x = f'a{b}c{d:.2f}{{}}' \"e\" f'{g!r}'\n"), "");
}

TEST(Parser, ReportsEveryStatementOnItsOwn) {
  EXPECT_EQ(parse_findings("x = = 1\ny = 2\nz = 3 +\nwhile a:\n  b = = 2\nw = lambda: 1\n"),
            "1:syntax 3:syntax 4:unsupported-statement 6:unsupported-syntax ");
  EXPECT_EQ(parse_findings("if a b:\n  c\nelse:\n  d\ne = 1 1\n"), "1:syntax 5:syntax ");
  EXPECT_EQ(parse_findings("f(a=1, a=2)\nf(a=1, 2)\ndef g(a, a): pass\ndef h(a=1, b): pass\n"),
            "1:duplicate-argument 2:syntax 3:duplicate-parameter 4:syntax ");
  EXPECT_EQ(parse_findings("x = f'{'\ny = f'}'\nz = f'{a b}'\n"), "1:bad-fstring 2:bad-fstring 3:syntax ");
}

}  // namespace
}  // namespace vortex::vflow
