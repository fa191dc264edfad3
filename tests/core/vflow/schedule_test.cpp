#include "core/vflow/config/schedule.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"

namespace vortex::vflow {
namespace {

constexpr ScheduleInputs kInputs = {1000, 29, 0.0625, 1, 2};

int run(std::string_view source, const ScheduleInputs& inputs = kInputs) {
  std::vector<Diagnostic> findings;
  const Schedule schedule = Schedule::compile(source, "snippet", findings);
  EXPECT_EQ(render(findings), "");
  return schedule.budget(inputs);
}

std::string refusal(std::string_view source) {
  std::vector<Diagnostic> findings;
  const Schedule schedule = Schedule::compile(source, "snippet", findings);
  EXPECT_TRUE(schedule.is_default());
  return findings.empty() ? "" : findings[0].message;
}

TEST(Schedule, DefaultRule) {
  const Schedule schedule;
  EXPECT_EQ(schedule.budget(kInputs), 62);
  EXPECT_EQ(schedule.budget({100, 29, 0.0625, 1, 2}), 32);
  // The product is a float32: 0.1f * 30 is 3.0000000447, which stays 3.
  EXPECT_EQ(schedule.budget({30, 1, 0.1, 1, 1}), 3);
  EXPECT_EQ(schedule.canonical(), "default");
}

TEST(Schedule, TheDefaultRuleWrittenOut) {
  const std::string_view source = R"(
    // static and dynamic part
    const int fixed = topk_val + block_reserved_bos + block_reserved_eos;
    const int dynamic = static_cast<int>(cached_block_len * topk_ratio);
    return max(fixed, dynamic);
  )";
  std::vector<Diagnostic> findings;
  const Schedule written = Schedule::compile(source, "snippet", findings);
  const Schedule schedule;
  for (int blocks = 0; blocks < 3000; blocks += 7) {
    ScheduleInputs inputs = kInputs;
    inputs.cached_block_len = blocks;
    EXPECT_EQ(written.budget(inputs), schedule.budget(inputs)) << blocks;
  }
}

TEST(Schedule, ArithmeticIsThatOfTheDevice) {
  EXPECT_EQ(run("return 7 / 2;"), 3);
  EXPECT_EQ(run("return -7 / 2;"), -3);
  EXPECT_EQ(run("return -7 % 3;"), -1);
  EXPECT_EQ(run("return 7 / 2.0f * 2;"), 7);
  EXPECT_EQ(run("return 2 + 3 * 4 - 1;"), 13);
  EXPECT_EQ(run("return (2 + 3) * 4;"), 20);
  EXPECT_EQ(run("return (int)2.9f + int(1.9);"), 3);
  EXPECT_EQ(run("float x = 16777216; return x + 1 - 16777216;"), 0);
  EXPECT_EQ(run("return sqrt(cached_block_len);"), 31);
  EXPECT_EQ(run("return std::min(3, 4) + std::max(3, 4) + abs(-2);"), 9);
  EXPECT_EQ(run("return ceil(2.1f) + floorf(2.9f) + log2f(8);"), 8);
  EXPECT_EQ(run("return cached_block_len > 500 && topk_val < 30 ? 1 : 2;"), 1);
  EXPECT_EQ(run("return !(1 == 1) || 2 != 3;"), 1);
}

TEST(Schedule, StatementsAndLocals) {
  EXPECT_EQ(run("int n = 3; n += 4; n *= 2; return n;"), 14);
  EXPECT_EQ(run("if (cached_block_len < 10) return 1; else if (topk_val == 29) { return 2; } return 3;"), 2);
  EXPECT_EQ(run("int n = 1; if (n) { n = 5; } return n;"), 5);
  EXPECT_EQ(run("auto x = 0.5f; return x * 9;"), 4);
  EXPECT_EQ(run("int n = 2.9f; return n * 2;"), 4);
  EXPECT_EQ(run("/* all */ return cached_block_len; // end"), 1000);
}

TEST(Schedule, IsTotal) {
  EXPECT_EQ(run("return 1 / 0;"), 0);
  EXPECT_EQ(run("return 1 % 0;"), 0);
  EXPECT_EQ(run("return sqrt(-1);"), 0);
  EXPECT_EQ(run("return log2(0);"), 0);
  EXPECT_EQ(run("return 2147483647 + 2147483647;"), std::numeric_limits<int>::max());
  EXPECT_EQ(run("return -2147483647 * 2147483647;"), std::numeric_limits<int>::min());
  EXPECT_EQ(run("return 1e38f * 1e38f;"), std::numeric_limits<int>::max());
  EXPECT_EQ(run("return 1e38f * 1e38f - 1e38f * 1e38f;"), 0);
}

TEST(Schedule, SaysWhatCppLeavesUndefined) {
  const auto fault = [](std::string_view source, int blocks = 1000) {
    std::vector<Diagnostic> findings;
    const Schedule schedule = Schedule::compile(source, "snippet", findings);
    EXPECT_EQ(render(findings), "");
    ScheduleInputs inputs = kInputs;
    inputs.cached_block_len = blocks;
    return schedule.fault(inputs).value_or("");
  };
  EXPECT_EQ(fault("return 1 / 0;"), "divides by zero");
  EXPECT_EQ(fault("return 1 % 0;"), "divides by zero");
  EXPECT_EQ(fault("return 1 / 0.0f;"), "divides by zero");
  EXPECT_EQ(fault("return 8 / (cached_block_len - 7);", 7), "divides by zero");
  EXPECT_EQ(fault("return 8 / (cached_block_len - 7);", 8), "");
  EXPECT_EQ(fault("return 2147483647 + 1;"), "overflows a 32-bit int");
  EXPECT_EQ(fault("return -(-2147483647 - 1);"), "overflows a 32-bit int");
  EXPECT_EQ(fault("return (-2147483647 - 1) / -1;"), "overflows a 32-bit int");
  EXPECT_EQ(fault("return (int)3e9f;"), "overflows a 32-bit int");
  EXPECT_EQ(fault("return 1e38f * 10;"), "overflows a 32-bit int");
  EXPECT_EQ(fault("return sqrt(-1);"), "takes the square root of a negative number");
  EXPECT_EQ(fault("return log2(0);"), "takes the logarithm of a number that is not positive");
  // What is not reached does no harm.
  EXPECT_EQ(fault("return cached_block_len > 0 ? 4 : 1 / 0;"), "");
  EXPECT_EQ(fault("if (cached_block_len == 0 || 8 / cached_block_len > 3) return 5; return 4;", 0), "");
  EXPECT_EQ(fault("return 2147483647 - 1;"), "");
  EXPECT_EQ(Schedule().fault(kInputs).value_or(""), "");
}

TEST(Schedule, RefusesWhatItCannotBound) {
  EXPECT_NE(refusal("for (int i = 0; i < 3; ++i) {} return 1;").find("`for`"), std::string::npos);
  EXPECT_NE(refusal("while (1) {}").find("`while`"), std::string::npos);
  EXPECT_NE(refusal("return system(1);").find("no function"), std::string::npos);
  EXPECT_NE(refusal("return topk_vl;").find("not defined"), std::string::npos);
  EXPECT_NE(refusal("topk_val = 3; return topk_val;").find("cannot be changed"), std::string::npos);
  EXPECT_NE(refusal("int a = 1; int a = 2; return a;").find("declared twice"), std::string::npos);
  EXPECT_NE(refusal("int a; return a;").find("expected \"=\""), std::string::npos);
  EXPECT_NE(refusal("if (topk_val) return 1;").find("not every path"), std::string::npos);
  EXPECT_NE(refusal("{ int a = 1; } return a;").find("not defined"), std::string::npos);
  EXPECT_NE(refusal("return 3000000000;").find("32 bits"), std::string::npos);
  EXPECT_NE(refusal("return 1.5f % 2;").find("whole"), std::string::npos);
  EXPECT_NE(refusal("return " + std::string(5000, '(')).find("nested"), std::string::npos);
  EXPECT_NE(refusal("return " + std::string(5000, '!')).find("nested"), std::string::npos);
  EXPECT_NE(refusal("return 1").find("expected \";\""), std::string::npos);
}

TEST(Schedule, CanonicalTextIgnoresNamesAndBlanks) {
  const auto canonical = [](std::string_view source) {
    std::vector<Diagnostic> findings;
    return Schedule::compile(source, "snippet", findings).canonical();
  };
  EXPECT_EQ(canonical("int a = topk_val; return a + 1;"),
            canonical("int  budget=topk_val; /* x */ return (budget+1);"));
  EXPECT_NE(canonical("return topk_val + 1;"), canonical("return topk_val + 2;"));
  EXPECT_NE(canonical("return topk_val + 1;"), canonical("return topk_val + 1.0f;"));
}

// Random text from the language's own words never crashes and never runs without end.
TEST(Schedule, SurvivesRandomText) {
  const std::vector<std::string> words = {"return", "int", "float", "x",           "topk_val", "cached_block_len",
                                          "(",      ")",   "{",     "}",           ";",        "=",
                                          "+",      "-",   "/",     "%",           "?",        ":",
                                          "<",      "&&",  "1",     "2.5f",        "if",       "else",
                                          "max",    "min", ",",     "static_cast", "!",        "+="};
  Rng rng(3);
  int compiled = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = round % 2 == 0 ? "int x = 1; return " : "";
    for (uint64_t n = rng.below(8); n > 0; --n) { text += words[rng.below(words.size())] + " "; }
    if (round % 2 == 0) { text += ";"; }
    std::vector<Diagnostic> findings;
    const Schedule schedule = Schedule::compile(text, "snippet", findings);
    EXPECT_EQ(schedule.is_default(), !findings.empty()) << text;
    schedule.budget(kInputs);
    if (findings.empty()) { ++compiled; }
  }
  EXPECT_GT(compiled, 20);
}

}  // namespace
}  // namespace vortex::vflow
