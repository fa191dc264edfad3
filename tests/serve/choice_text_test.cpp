// Stop strings over several tokens, characters over several tokens, and what is told with them.
#include "serve/choice_text.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "tests/serve/support.h"

namespace vortex::serve {
namespace {

using testing::byte_tokenizer;
using testing::byte_tokens;

struct Outcome {
  std::vector<Told> told;  // of every token, and of the end
  bool stopped = false;
  std::string text() const {
    std::string all;
    for (const Told& one : told) { all += one.text; }
    return all;
  }
  size_t tokens() const {
    size_t count = 0;
    for (const Told& one : told) { count += one.tokens.size(); }
    return count;
  }
};

Outcome run(const model::Tokenizer& tokenizer, const std::vector<int32_t>& ids, const std::vector<std::string>& stops) {
  ChoiceText text(tokenizer, stops, true);
  Outcome outcome;
  for (const int32_t id : ids) { outcome.told.push_back(text.push({id, false, false, 0, {}})); }
  outcome.told.push_back(text.finish());
  outcome.stopped = text.stopped();
  return outcome;
}

class ChoiceTextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tokenizer_ = byte_tokenizer();
    if (tokenizer_ == nullptr) { GTEST_SKIP() << "this build has no BPE"; }
  }
  Outcome run_text(const std::string& text, const std::vector<std::string>& stops) {
    return run(*tokenizer_, byte_tokens(*tokenizer_, text), stops);
  }
  std::shared_ptr<const model::Tokenizer> tokenizer_;
};

TEST_F(ChoiceTextTest, ACharacterIsToldWhole) {
  const Outcome outcome = run_text("aé😀b", {});
  std::vector<std::string> texts;
  for (const Told& told : outcome.told) { texts.push_back(told.text); }
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "", "é", "", "", "", "😀", "b", ""}));
  EXPECT_EQ(outcome.told[2].tokens.size(), 2U) << "both of its tokens come with it";
  EXPECT_EQ(outcome.told[6].tokens.size(), 4U);
  EXPECT_EQ(outcome.tokens(), 8U);
}

TEST_F(ChoiceTextTest, AnUnfinishedCharacterIsRepairedAtTheEnd) {
  const Outcome outcome = run_text("a\xf0\x9f", {});
  EXPECT_EQ(outcome.text(), "a\xef\xbf\xbd");
  EXPECT_EQ(outcome.tokens(), 3U);
}

// A prompt may end inside a character: what follows is no part of one, and nothing of the prompt is told.
TEST_F(ChoiceTextTest, TheRestOfAPromptsCharacterIsNotJoinedToIt) {
  EXPECT_EQ(run_text("\x98\x80!", {}).text(), "\xef\xbf\xbd\xef\xbf\xbd!");
}

TEST_F(ChoiceTextTest, AStopIsFoundAcrossTokensAndCutOff) {
  const Outcome outcome = run_text("one END two", {"END"});
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.text(), "one ");
  EXPECT_EQ(outcome.tokens(), 4U) << "only the tokens of the text before it";
}

TEST_F(ChoiceTextTest, WhatOnlyBeginsLikeAStopIsToldInTheEnd) {
  const Outcome outcome = run_text("one EN", {"END"});
  EXPECT_FALSE(outcome.stopped);
  EXPECT_EQ(outcome.text(), "one EN");
  EXPECT_EQ(outcome.told[4].text, "") << "E is held back";
  EXPECT_EQ(run_text("aab", {"ab"}).text(), "a") << "a stop that begins within what looked like one";
  EXPECT_EQ(run_text("a b", {"xyz"}).told[0].text, "a") << "nothing is held back without need";
}

TEST_F(ChoiceTextTest, TheFirstOfSeveralStopsCounts) {
  EXPECT_EQ(run_text("abcdef", {"ef", "cd"}).text(), "ab");
  EXPECT_EQ(run_text("abcdef", {"bcdeX", "cd"}).text(), "ab");
  EXPECT_EQ(run_text("日本語", {"本"}).text(), "日");
}

TEST_F(ChoiceTextTest, SpecialTokensAreToldWithoutText) {
  const Outcome outcome = run(*tokenizer_, {557, byte_tokens(*tokenizer_, "a")[0]}, {});
  EXPECT_EQ(outcome.text(), "a");
  EXPECT_EQ(outcome.tokens(), 2U);
}

// Whatever the tokens: the pieces are characters, their tokens' texts make them up, and together they are the text up
// to the first stop.
TEST_F(ChoiceTextTest, RandomTextsAreCutWhereTheWholeTextWouldBe) {
  const std::vector<std::string> letters = {"a", "b", "ab", "é", "日", "😀", "\xff", "\x9f", "\n"};
  const std::vector<std::string> stops = {"aba", "日\n", "bb", "é"};
  int stopped = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Rng rng(stream_key(seed, 7));
    std::string text;
    for (int i = 0; i < 12; ++i) { text += letters[rng.below(letters.size())]; }
    const std::string whole = model::repair_utf8(text);
    size_t at = whole.size();
    for (const std::string& stop : stops) { at = std::min(at, whole.find(stop)); }
    const Outcome outcome = run_text(text, stops);
    EXPECT_EQ(outcome.text(), whole.substr(0, at)) << seed;
    EXPECT_EQ(outcome.stopped, at < whole.size()) << seed;
    stopped += outcome.stopped ? 1 : 0;
    for (const Told& told : outcome.told) {
      EXPECT_FALSE(model::find_invalid_utf8(told.text)) << seed;
      std::string joined;
      for (const ToldToken& token : told.tokens) { joined += token.text; }
      EXPECT_EQ(joined, told.text) << seed;
    }
  }
  EXPECT_GT(stopped, 50);
  EXPECT_LT(stopped, 400);
}

}  // namespace
}  // namespace vortex::serve
