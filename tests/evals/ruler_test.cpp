#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "base/files.h"
#include "evals/tasks/task.h"
#include "evals/tasks/task_file.h"
#include "evals/tasks/text.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

const fs::path kTasks = fs::path(VORTEX_SOURCE_DIR) / "examples/tasks";

job::TaskSpec task_of(const std::string& name, int length = 4096) {
  auto task = read_task_file(kTasks / (name + ".json"));
  EXPECT_TRUE(task.ok()) << task.error().message;
  task->length = length;
  task->problems = 3;
  return std::move(task).value();
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

std::string whole(const Problem& problem) { return problem.prompt + problem.answer_start; }

// Two tokenizers: words, and pieces of up to three letters.
Result<size_t> count_words(const Problem& problem) { return words_of(whole(problem)).size(); }
Result<size_t> count_pieces(const Problem& problem) {
  size_t pieces = 0;
  for (const std::string& word : words_of(whole(problem))) { pieces += (word.size() + 2) / 3; }
  return pieces;
}

size_t times_in(const std::string& text, const std::string& part) {
  size_t times = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) { ++times; }
  return times;
}

std::vector<std::string> ruler_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kTasks)) {
    const std::string name = entry.path().stem().string();
    if (name.starts_with("ruler_")) { names.push_back(name); }
  }
  return names;
}

TEST(Ruler, HitsEveryLengthExactly) {
  EXPECT_EQ(ruler_names().size(), 11U);
  for (const std::string& name : ruler_names()) {
    for (const int length : {3500, 4096, 8191}) {
      for (const CountTokens& count : {CountTokens(count_words), CountTokens(count_pieces)}) {
        const job::TaskSpec spec = task_of(name, length);
        const auto problems = make_problems(spec, count);
        ASSERT_TRUE(problems.ok()) << name << ": " << problems.error().message;
        for (const Problem& problem : *problems) {
          EXPECT_EQ(static_cast<int>(*count(problem)) + spec.max_new_tokens, length) << problem.id;
        }
      }
    }
  }
}

TEST(Ruler, DependsOnSeedAndNumberAlone) {
  for (const std::string& name : ruler_names()) {
    job::TaskSpec spec = task_of(name);
    const auto some = make_problems(spec, count_words);
    spec.problems = 5;
    const auto more = make_problems(spec, count_words);
    spec.seed = 2;
    const auto others = make_problems(spec, count_words);
    ASSERT_TRUE(some.ok() && more.ok() && others.ok()) << name;
    std::set<std::string> prompts;
    std::set<std::string> ids;
    for (size_t i = 0; i < some->size(); ++i) {
      EXPECT_EQ((*some)[i].prompt, (*more)[i].prompt);
      EXPECT_EQ((*some)[i].answers, (*more)[i].answers);
    }
    for (const auto* problems : {&*more, &*others}) {
      for (const Problem& problem : *problems) {
        prompts.insert(problem.prompt);
        ids.insert(problem.id);
      }
    }
    EXPECT_EQ(prompts.size(), 10U) << name;
    EXPECT_EQ(ids.size(), 10U) << name;
  }
}

TEST(Ruler, NeedlesAreHiddenOnceAndAskedFor) {
  for (const auto& [name, asked, sentences] : {std::tuple{"ruler_niah_single_1", 1, 1},
                                               {"ruler_niah_single_3", 1, 1},
                                               {"ruler_niah_multikey_1", 1, 4},
                                               {"ruler_niah_multivalue", 4, 4},
                                               {"ruler_niah_multiquery", 4, 4},
                                               {"ruler_niah_multikey_2", 1, -1}}) {
    const job::TaskSpec spec = task_of(name);
    const auto problems = make_problems(spec, count_words);
    ASSERT_TRUE(problems.ok());
    std::set<size_t> places;
    for (const Problem& problem : *problems) {
      EXPECT_EQ(problem.answers.size(), static_cast<size_t>(asked)) << name;
      for (const std::string& answer : problem.answers) {
        EXPECT_EQ(times_in(whole(problem), " is " + answer + "."), 1U) << name;
        EXPECT_EQ(times_in(whole(problem), answer), 1U) << name;
        places.insert(problem.prompt.find(answer));
      }
      const size_t needles = times_in(problem.prompt, "The secret ");
      if (sentences > 0) { EXPECT_EQ(needles, static_cast<size_t>(sentences)) << name; }
      if (sentences < 0) { EXPECT_GT(needles, 100U) << "the haystack consists of needles"; }
      // A key that is asked for stands with its values, in the question and in the start of the answer.
      EXPECT_EQ(problem.prompt.find('{'), std::string::npos);
    }
    EXPECT_EQ(places.size(), problems->size() * static_cast<size_t>(asked)) << "anywhere in the text";
  }
}

TEST(Ruler, VariablesFollowOneFromAnother) {
  const job::TaskSpec spec = task_of("ruler_vt");
  const auto problems = make_problems(spec, count_words);
  ASSERT_TRUE(problems.ok());
  for (const Problem& problem : *problems) {
    ASSERT_EQ(problem.answers.size(), 5U);
    size_t at = problem.prompt.find("VAR " + problem.answers[0] + " = ");
    ASSERT_NE(at, std::string::npos);
    const std::string value = problem.prompt.substr(at + 12, 5);
    EXPECT_NE(problem.answer_start.find(value), std::string::npos) << "its value is asked for";
    for (size_t i = 1; i < 5; ++i) {
      const size_t next = problem.prompt.find("VAR " + problem.answers[i] + " = VAR " + problem.answers[i - 1]);
      ASSERT_NE(next, std::string::npos);
      EXPECT_GT(next, at);
      at = next;
    }
    EXPECT_EQ(times_in(problem.prompt, "Question:"), 2U) << "a solved example comes first";
  }
}

TEST(Ruler, CommonWordsAreTheMostCommon) {
  const job::TaskSpec spec = task_of("ruler_cwe", 8192);
  const auto problems = make_problems(spec, count_words);
  ASSERT_TRUE(problems.ok());
  for (const Problem& problem : *problems) {
    std::map<std::string, int> counts;
    const size_t list = problem.prompt.rfind("\n1. ");
    ASSERT_NE(list, std::string::npos);
    const std::vector<std::string> words = words_of(problem.prompt.substr(list));
    for (size_t i = 0; i + 1 < words.size() && words[i] == std::to_string(i / 2 + 1) + "."; i += 2) {
      ++counts[words[i + 1]];
    }
    std::set<std::string> common(problem.answers.begin(), problem.answers.end());
    EXPECT_EQ(common.size(), 10U);
    EXPECT_GT(counts.size(), 100U);
    for (const auto& [word, count] : counts) { EXPECT_EQ(count, common.contains(word) ? 30 : 3) << word; }
  }
}

TEST(Ruler, FrequentWordsFollowTheirLaw) {
  const job::TaskSpec spec = task_of("ruler_fwe", 8192);
  const auto problems = make_problems(spec, count_words);
  ASSERT_TRUE(problems.ok());
  for (const Problem& problem : *problems) {
    std::map<std::string, int> counts;
    for (const std::string& word : words_of(problem.prompt)) {
      if (word.size() == 6 && word.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos) {
        ++counts[word];
      }
    }
    ASSERT_EQ(problem.answers.size(), 3U);
    const int first = counts[problem.answers[0]];
    const int second = counts[problem.answers[1]];
    const int third = counts[problem.answers[2]];
    EXPECT_NEAR(static_cast<double>(first) / second, 9.0 / 4, 0.02);
    EXPECT_NEAR(static_cast<double>(second) / third, 16.0 / 9, 0.02);
    for (const auto& [word, count] : counts) {
      if (word != problem.answers[0] && word != problem.answers[1]) { EXPECT_LE(count, third); }
    }
  }
}

TEST(Ruler, GradesMentions) {
  const auto task = find_task("niah");
  ASSERT_TRUE(task.ok());
  EXPECT_TRUE((*task)->grade("1234567", " the numbers are 1234567 and 7654321.").correct);
  EXPECT_TRUE((*task)->grade("ABCDE", "abcde").correct);
  EXPECT_FALSE((*task)->grade("1234567", "1234568").correct);
  EXPECT_FALSE((*task)->grade("1234567", "<think>1234567</think> I forgot it").correct);
  EXPECT_FALSE((*task)->grade("1234567", "").correct);
}

// A thought that was cut at the token limit answers nothing, whatever stands in it.
TEST(Ruler, AThoughtWithoutEndIsNoAnswer) {
  for (const char* kind : {"niah", "variable_tracking", "common_words", "frequent_words", "questions"}) {
    const auto task = find_task(kind);
    ASSERT_TRUE(task.ok());
    for (const char* output :
         {"<think>It is \\boxed{42}. The answer is 42", "<think>\n42", "Hm. </think> No. <think> 42", "[THINK]42",
          "<seed:think>The answer is 42", "\u25c1think\u25b7 42"}) {
      const Grade grade = (*task)->grade("42", output);
      EXPECT_FALSE(grade.correct) << kind << ": " << output;
      EXPECT_TRUE(grade.extracted.empty()) << kind << ": " << output;
      EXPECT_EQ(grade.rule, "no answer: a thought without end") << kind << ": " << output;
    }
    EXPECT_TRUE((*task)->grade("42", "<think>41</think> The answer is 42").correct) << kind;
    EXPECT_TRUE((*task)->grade("42", "so 41 or 42.</think>42").correct) << kind;
    EXPECT_TRUE((*task)->grade("42", "[THINK]41[/THINK]42").correct) << kind;
    EXPECT_FALSE((*task)->grade("42", "<think>42</think> The answer is 41").correct) << kind;
  }
}

TEST(Ruler, KnowsAPromptThatOpensAThought) {
  EXPECT_EQ(opened_thought("<|im_start|>assistant\n<think>\n"), "<think>");
  EXPECT_EQ(opened_thought("[THINK]"), "[THINK]");
  EXPECT_EQ(opened_thought("<think>\n\n</think>\n\n"), "");
  EXPECT_EQ(opened_thought("What does <think> mean?"), "");
  EXPECT_EQ(opened_thought(""), "");
  EXPECT_TRUE(is_thought_mark("</think>"));
  EXPECT_FALSE(is_thought_mark("<|im_end|>"));
}

TEST(Ruler, RefusesWhatDoesNotFit) {
  for (const std::string& name : ruler_names()) {
    const job::TaskSpec spec = task_of(name, 140);
    const auto problems = make_problems(spec, count_words);
    ASSERT_FALSE(problems.ok()) << name;
    EXPECT_EQ(problems.error().blame, Blame::kCandidate);
  }
  EXPECT_EQ(make_problems(task_of("ruler_vt")).error().blame, Blame::kInternal) << "no tokenizer";
  const CountTokens nothing = [](const Problem&) -> Result<size_t> { return size_t{1}; };
  EXPECT_FALSE(make_problems(task_of("ruler_vt"), nothing).ok());
}

TEST(TaskFiles, AllThatShipAreRead) {
  for (const auto& entry : fs::directory_iterator(kTasks)) {
    const auto task = read_task_file(entry.path());
    if (task.ok()) {
      const auto again = job::task_from_json(to_json(*task));
      ASSERT_TRUE(again.ok()) << again.error().message;
      EXPECT_EQ(job::task_hash(*again), job::task_hash(*task));
      continue;
    }
    EXPECT_NE(task.error().message.find("is not there"), std::string::npos) << task.error().message;
  }
}

class QuestionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("vortex-tasks-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  Result<job::TaskSpec> read(const std::string& task, const std::string& data) {
    EXPECT_TRUE(write_file_atomic(folder_ / "mine.jsonl", data).ok());
    EXPECT_TRUE(write_file_atomic(folder_ / "task.json", task).ok());
    return read_task_file(folder_ / "task.json");
  }
  fs::path folder_;
};

TEST_F(QuestionsTest, ReadsAnyJsonl) {
  const auto task = read(
      R"({"kind": "questions", "data": "mine.jsonl", "fields": {"problem": "q", "answer": "a"}, "prompt": "{problem}!"})",
      "{\"q\": \"What is {problem}?\", \"a\": 7, \"id\": 60, \"more\": 1}\n\n{\"q\": \"2?\", \"a\": \"x\"}\n");
  ASSERT_TRUE(task.ok()) << task.error().message;
  EXPECT_EQ(task->problems, 2);
  const auto problems = make_problems(*task);
  ASSERT_TRUE(problems.ok());
  EXPECT_EQ((*problems)[0].id, "mine-60");
  EXPECT_EQ((*problems)[0].prompt, "What is {problem}?!") << "what a problem says is not filled in again";
  EXPECT_EQ((*problems)[0].answers, std::vector<std::string>{"7"});
  EXPECT_EQ((*problems)[1].id, "mine-1");
  const auto kind = find_task("questions");
  ASSERT_TRUE(kind.ok());
  EXPECT_TRUE((*kind)->grade("7", "<think>\\boxed{8}</think>So \\boxed{7.0}").correct);
  EXPECT_EQ((*kind)->grade("7", "\\boxed{8}").extracted, "8");
  EXPECT_EQ((*kind)->grade("7", "\\boxed{8}").rule, "boxed");
  EXPECT_FALSE(job::task_summary(*task).contains("questions"));
}

// As Windows, pandas and published data sets write lines of JSON.
TEST_F(QuestionsTest, ReadsLinesAsOthersWriteThem) {
  const auto task = read(R"({"kind": "questions", "data": "mine.jsonl", "prompt": "{problem}"})",
                         "\xef\xbb\xbf{\"problem\": \"a\", \"answer\": [\"\\\\frac12\"], \"id\": 1, \"url\": NaN}\r\n"
                         "\r\n  \r\n"
                         "{\"problem\": \"b\u2028c\", \"answer\": 27.0, \"id\": 2, \"score\": -Infinity}");
  ASSERT_TRUE(task.ok()) << task.error().message;
  const auto problems = make_problems(*task);
  ASSERT_TRUE(problems.ok()) << problems.error().message;
  ASSERT_EQ(problems->size(), 2U);
  EXPECT_EQ((*problems)[0].answers, std::vector<std::string>{"\\frac12"});
  EXPECT_EQ((*problems)[1].prompt, "b\u2028c");
  EXPECT_EQ((*problems)[1].answers, std::vector<std::string>{"27.0"});
  const std::string kTask = R"({"kind": "questions", "data": "mine.jsonl", "prompt": "{problem}"})";
  for (const char* answer : {"NaN", "null", "[]", "[\"1\", \"2\"]", "{}", "true", "\"\""}) {
    const auto refused = read(kTask, std::string("{\"problem\": \"a\", \"answer\": ") + answer + "}\n");
    ASSERT_FALSE(refused.ok()) << answer;
    EXPECT_NE(refused.error().message.find(":1 lacks \"answer\""), std::string::npos) << refused.error().message;
  }
  const auto joined = read(kTask, "{\"problem\": \"a\", \"answer\": 1}{\"problem\": \"b\", \"answer\": 2}\n");
  EXPECT_NE(joined.error().message.find("mine.jsonl:1: not an object"), std::string::npos);
}

TEST_F(QuestionsTest, RefusesByFileAndLine) {
  const std::string task = R"({"kind": "questions", "data": "mine.jsonl", "prompt": "{problem}"})";
  const std::string good = "{\"problem\": \"1\", \"answer\": \"1\", \"id\": 1}\n";
  EXPECT_NE(read(task, good + "nonsense\n").error().message.find("mine.jsonl:2: not an object"), std::string::npos);
  EXPECT_NE(read(task, good + "{\"problem\": \"2\"}\n").error().message.find(":2 lacks \"answer\""), std::string::npos);
  EXPECT_NE(read(task, good + good).error().message.find("is there twice"), std::string::npos);
  EXPECT_FALSE(read(task, "").ok());
  EXPECT_NE(read(R"({"kind": "questions", "data": "yours.jsonl", "prompt": "{problem}"})", good)
                .error()
                .message.find("yours.jsonl"),
            std::string::npos);
  EXPECT_NE(read(R"({"kind": "questions", "data": "mine.jsonl", "prompt": "x", "trails": 2})", good)
                .error()
                .hint.find("trials"),
            std::string::npos);
  EXPECT_NE(read(R"({"kind": "riddles"})", good).error().message.find("riddles"), std::string::npos);
  const auto no_place = read(R"({"kind": "questions", "data": "mine.jsonl", "prompt": "x"})", good);
  ASSERT_TRUE(no_place.ok());
  EXPECT_FALSE(make_problems(*no_place).ok());
}

}  // namespace
}  // namespace vortex::evals
