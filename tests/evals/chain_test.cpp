#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "base/files.h"
#include "base/sha256.h"
#include "evals/tasks/task.h"

namespace vortex::evals {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

job::TaskSpec spec_of(int definitions, int chain, int problems = 4, uint64_t seed = 1) {
  job::TaskSpec spec;
  spec.definitions = definitions;
  spec.chain = chain;
  spec.problems = problems;
  spec.seed = seed;
  return spec;
}

struct Line {
  int constant = 0;
  std::string source;
};

// The definitions of a prompt by name; checks the form on the way.
std::map<std::string, Line> parse_prompt(const std::vector<std::string>& words, int definitions) {
  std::map<std::string, Line> lines;
  for (size_t i = 0; i < static_cast<size_t>(definitions); ++i) {
    const size_t at = 1 + 5 * i;
    lines[words[at]] = {std::stoi(words[at + 1]) + 10 * std::stoi(words[at + 2]), words[at + 3]};
    EXPECT_EQ(words[at + 4], ";");
  }
  return lines;
}

TEST(Chain, ProblemsAreWhatTheyClaimToBe) {
  for (const auto& [definitions, chain] :
       {std::pair{780, 16}, {1008, 20}, {1009, 16}, {4080, 16}, {16, 16}, {6, 2}, {1, 1}}) {
    const auto problems = make_problems(spec_of(definitions, chain));
    ASSERT_TRUE(problems.ok());
    for (const Problem& problem : *problems) {
      const std::vector<std::string> prompt = words_of(problem.prompt);
      ASSERT_EQ(prompt.size(), static_cast<size_t>(5 * definitions + 4));
      EXPECT_EQ(prompt.front(), "<s>");
      EXPECT_EQ(prompt.back(), "?");
      EXPECT_EQ(prompt[prompt.size() - 3], "?");
      const auto lines = parse_prompt(prompt, definitions);
      ASSERT_EQ(lines.size(), static_cast<size_t>(definitions)) << "names are distinct";

      // Follow the chain by the prompt alone and write the solution anew.
      std::vector<std::string> walk;
      std::string solution;
      for (std::string name = prompt[prompt.size() - 2]; name != "#"; name = lines.at(name).source) {
        const Line& line = lines.at(name);
        walk.push_back(name);
        ASSERT_LE(walk.size(), static_cast<size_t>(chain));
        solution += name + " " + std::to_string(line.constant % 10) + " " + std::to_string(line.constant / 10) + " " +
                    line.source + " ; ";
      }
      EXPECT_EQ(walk.size(), static_cast<size_t>(chain));
      int value = 0;
      for (auto name = walk.rbegin(); name != walk.rend(); ++name) {
        value = (value + lines.at(*name).constant) % 1000;
        solution += *name + " " + std::to_string(value % 10) + " " + std::to_string(value / 10 % 10) + " " +
                    std::to_string(value / 100) + " ; ";
      }
      const std::string digits = std::to_string(1000 + value).substr(1);
      solution += std::string("? ") + digits[0] + " " + digits[1] + " " + digits[2] + " </s>";
      EXPECT_EQ(problem.solution, solution);
      EXPECT_EQ(problem.answers, std::vector<std::string>{digits});
      EXPECT_EQ(words_of(problem.solution).size(), static_cast<size_t>(10 * chain + 5));
    }
  }
}

TEST(Chain, EveryVariableRefersToADefinedOneWithoutCycles) {
  const auto problems = make_problems(spec_of(300, 12, 8));
  ASSERT_TRUE(problems.ok());
  int literals = 0;
  for (const Problem& problem : *problems) {
    const auto lines = parse_prompt(words_of(problem.prompt), 300);
    for (const auto& [name, line] : lines) {
      std::string at = name;
      int steps = 0;
      while (at != "#") {
        ASSERT_EQ(lines.count(at), 1U);
        ASSERT_LE(++steps, 300) << "a cycle";
        at = lines.at(at).source;
      }
      literals += line.source == "#" ? 1 : 0;
    }
  }
  // 8 chain literals and 15 % of the 8 * 288 others: 354 expected, standard deviation 17.
  EXPECT_GT(literals, 354 - 5 * 17);
  EXPECT_LT(literals, 354 + 5 * 17);
}

TEST(Chain, DependsOnSeedSizesAndNumberAlone) {
  const auto few = make_problems(spec_of(96, 10, 3));
  const auto many = make_problems(spec_of(96, 10, 40));
  ASSERT_TRUE(few.ok() && many.ok());
  std::set<std::string> prompts;
  std::set<std::string> ids;
  for (size_t i = 0; i < few->size(); ++i) { EXPECT_EQ((*few)[i].prompt, (*many)[i].prompt); }
  for (const Problem& problem : *many) {
    prompts.insert(problem.prompt);
    ids.insert(problem.id);
  }
  const auto held_out = make_problems(spec_of(96, 10, 40, 2));
  ASSERT_TRUE(held_out.ok());
  for (const Problem& problem : *held_out) {
    prompts.insert(problem.prompt);
    ids.insert(problem.id);
  }
  EXPECT_EQ(prompts.size(), 80U);
  EXPECT_EQ(ids.size(), 80U);
  EXPECT_EQ((*many)[3].id, "chain-96-10-s1-003");
}

// Stored outcomes refer to problems by id: a change of the generator must be noticed and must come with new ids.
TEST(Chain, ProblemsNeverChange) {
  const auto problems = make_problems(spec_of(780, 16, 2));
  ASSERT_TRUE(problems.ok());
  EXPECT_EQ((*problems)[0].prompt.substr(0, 28), "<s> v50 4 1 v623 ; v63 3 0 v");
  EXPECT_EQ(sha256_hex((*problems)[0].prompt + (*problems)[0].solution),
            "1d4c32ed38e74b74856e988d865eab524890919408b6ccbc34571390f9d3d5b9");
  EXPECT_EQ(sha256_hex((*problems)[1].prompt + (*problems)[1].solution),
            "e4495e4954dbcadfdb802ba555a663468c3a3ea65102fad9bd258ab15a611e36");
}

TEST(Chain, RefusesImpossibleSizes) {
  for (const auto& [definitions, chain] : {std::pair{0, 1}, {4081, 4}, {10, 0}, {10, 11}, {-5, 2}}) {
    const auto problems = make_problems(spec_of(definitions, chain));
    ASSERT_FALSE(problems.ok());
    EXPECT_EQ(problems.error().blame, Blame::kCandidate);
  }
  job::TaskSpec unknown;
  unknown.kind = "aime";
  const auto problems = make_problems(unknown);
  ASSERT_FALSE(problems.ok());
  EXPECT_NE(problems.error().message.find("\"aime\""), std::string::npos);
}

TEST(Chain, GradesItsOwnSolutionsAsRight) {
  const auto problems = make_problems(spec_of(60, 8, 20));
  const auto task = find_task("chain");
  ASSERT_TRUE(problems.ok() && task.ok());
  for (size_t i = 0; i < problems->size(); ++i) {
    const Problem& problem = (*problems)[i];
    const Problem& other = (*problems)[(i + 1) % problems->size()];
    EXPECT_TRUE((*task)->grade(problem.answers[0], problem.solution).correct);
    EXPECT_EQ((*task)->grade(problem.answers[0], other.solution).correct, problem.answers == other.answers);
  }
}

TEST(Chain, GraderCases) {
  const auto text = read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/evals/chain_grader.json");
  ASSERT_TRUE(text.ok());
  const nlohmann::json data = nlohmann::json::parse(*text);
  const auto task = find_task("chain");
  ASSERT_TRUE(task.ok());
  const auto answer = data.at("answer").get<std::string>();
  for (const nlohmann::json& item : data.at("cases")) {
    const Grade grade = (*task)->grade(answer, item.at("output").get<std::string>());
    EXPECT_EQ(grade.correct, item.at("correct").get<bool>()) << item;
    EXPECT_EQ(grade.extracted, item.at("extracted").get<std::string>()) << item;
    EXPECT_FALSE(grade.rule.empty()) << item;
  }
}

}  // namespace
}  // namespace vortex::evals
