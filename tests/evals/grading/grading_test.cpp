#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/rng.h"
#include "base/text.h"
#include "evals/grading/answer.h"
#include "evals/grading/extract.h"
#include "evals/grading/math.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = fs::path(VORTEX_SOURCE_DIR) / "tests/cases/grading";

// Where AIME24 and AMC23 are: $VORTEX_TEST_DATA, or beside the checkout.
fs::path data_folder() {
  const char* named = std::getenv("VORTEX_TEST_DATA");
  return named != nullptr ? fs::path(named) : fs::path(VORTEX_SOURCE_DIR) / "../shared/data";
}

std::vector<nlohmann::json> lines_of(const fs::path& path) {
  std::vector<nlohmann::json> lines;
  const auto text = read_file(path);
  EXPECT_TRUE(text.ok()) << path;
  if (!text.ok()) { return lines; }
  for (const std::string& line : split_lines(*text)) { lines.push_back(nlohmann::json::parse(line)); }
  return lines;
}

bool is_of_pairs(const fs::path& file) { return file.filename().string().find("outputs") == std::string::npos; }

TEST(Grading, PairsOfAnswers) {
  size_t pairs = 0;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    if (!is_of_pairs(entry.path())) { continue; }
    for (const nlohmann::json& item : lines_of(entry.path())) {
      const auto reference = item.at("reference").get<std::string>();
      const auto answer = item.at("answer").get<std::string>();
      const auto same = item.at("same").get<bool>();
      const Agreement found = agreement(reference, answer);
      EXPECT_EQ(found == Agreement::kSame, same) << entry.path().filename() << " " << item;
      const bool unreadable = item.value("unreadable", false);
      if (unreadable) { EXPECT_EQ(found, Agreement::kUnreadable) << item; }
      if (same) { EXPECT_EQ(agreement(answer, answer), Agreement::kSame) << item; }
      // A text whose braces do not match cannot stand inside \boxed{}.
      if (std::ranges::count(answer, '{') == std::ranges::count(answer, '}')) {
        const MathGrade grade = grade_math(reference, "Thus \\boxed{" + answer + "}.");
        EXPECT_EQ(grade.correct, same) << item;
        if (unreadable) { EXPECT_EQ(grade.rule, "unreadable") << item; }
      }
      ++pairs;
    }
  }
  EXPECT_GE(pairs, 900U);
}

TEST(Grading, ExtractsAnswers) {
  for (const nlohmann::json& item : lines_of(kCases / "outputs.jsonl")) {
    const Extract found = extract_answer(item.at("output").get<std::string>());
    EXPECT_EQ(found.text, item.at("extracted").get<std::string>()) << item;
    EXPECT_EQ(found.rule, item.at("rule").get<std::string>()) << item;
  }
}

TEST(Grading, WholeOutputs) {
  for (const nlohmann::json& item : lines_of(kCases / "graded_outputs.jsonl")) {
    const MathGrade grade = grade_math(item.at("reference").get<std::string>(), item.at("output").get<std::string>());
    EXPECT_EQ(grade.correct, item.at("correct").get<bool>()) << item << " gave " << grade.extracted;
  }
}

// A number in ten surface forms.
std::vector<std::string> forms_of(const std::string& answer) {
  const bool whole = answer.find('.') == std::string::npos;
  return {"\\boxed{" + answer + "}",
          "Adding up, we get $\\boxed{" + answer + "}$.",
          "\\[\\boxed{\\text{" + answer + "}}\\]",
          "Hence $x = " + answer + "$, and the final answer is $" + answer + "$.",
          "**Answer:** " + answer,
          "\\boxed{x = " + answer + "}",
          "\\boxed{\\frac{" + answer + "}{1}}",
          "\\boxed{" + answer + (whole ? ".0" : "0") + "}",
          "\\boxed{" + answer + "\\text{ units}}",
          "After 17 steps the result is " + answer};
}

std::string off_by_one(const std::string& answer) { return format_number(std::stod(answer) + 1); }

// The references of a data set that others keep; nothing where it is not beside the checkout.
void check_data_set(const std::string& name, size_t count) {
  const fs::path path = data_folder() / name;
  if (!fs::exists(path)) { GTEST_SKIP() << path << " is not there"; }
  const std::vector<nlohmann::json> problems = lines_of(path);
  EXPECT_EQ(problems.size(), count);
  for (const nlohmann::json& problem : problems) {
    const auto answer = problem.at("answer").get<std::string>();
    for (const std::string& output : forms_of(answer)) {
      const MathGrade grade = grade_math(answer, output);
      EXPECT_TRUE(grade.correct) << output << " gave " << grade.extracted << " by " << grade.rule;
    }
    for (const std::string& output : forms_of(off_by_one(answer))) {
      EXPECT_FALSE(grade_math(answer, output).correct) << answer << " against " << output;
    }
  }
}

TEST(Grading, Aime24ReferencesInTenForms) { check_data_set("aime24.jsonl", 30); }
TEST(Grading, Amc23ReferencesInTenForms) { check_data_set("amc23.jsonl", 40); }

// Any bytes get a grade; an answer is the same as itself.
TEST(Grading, IsTotal) {
  const std::vector<std::string> pieces = {"\\frac",
                                           "\\sqrt",
                                           "{",
                                           "}",
                                           "(",
                                           ")",
                                           "[",
                                           "]",
                                           "1",
                                           "23",
                                           "x",
                                           "+",
                                           "-",
                                           "*",
                                           "/",
                                           "^",
                                           "_",
                                           "!",
                                           "|",
                                           ",",
                                           "\\pm",
                                           "\\cup",
                                           "=",
                                           "<",
                                           "\\{",
                                           "\\}",
                                           "\\text",
                                           "cm",
                                           "%",
                                           "$",
                                           "\\pi",
                                           ".",
                                           " ",
                                           "\\",
                                           "&",
                                           "\\\\",
                                           "\\in",
                                           "e",
                                           "\u221a",
                                           "\xff",
                                           "\\log",
                                           "\\begin{pmatrix}",
                                           "\\end{pmatrix}",
                                           "\\boxed",
                                           "answer is ",
                                           "</think>"};
  Rng rng(11);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint64_t left = rng.below(12); left > 0; --left) { text += pieces[rng.below(pieces.size())]; }
    std::string other;
    for (uint64_t left = rng.below(12); left > 0; --left) { other += pieces[rng.below(pieces.size())]; }
    const MathGrade grade = grade_math(other, text);
    EXPECT_FALSE(grade.rule.empty());
    const bool same = agreement(reference_answer(other), grade.extracted) == Agreement::kSame;
    EXPECT_EQ(grade.correct, !grade.extracted.empty() && same);
  }
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint64_t left = rng.below(200); left > 0; --left) { bytes += static_cast<char>(rng.below(256)); }
    EXPECT_FALSE(grade_math("1", bytes).rule.empty());
  }
}

// A long output is read in linear time: a megabyte of openings that never close.
TEST(Grading, CopesWithLongOutputs) {
  for (const char* piece : {"\\boxed{", "answer is ", "$", "1,", "\\(", "{"}) {
    std::string text;
    while (text.size() < 1'000'000) { text += piece; }
    EXPECT_FALSE(grade_math("1", text).rule.empty());
  }
}

}  // namespace
}  // namespace vortex::evals
