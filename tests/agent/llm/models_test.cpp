#include "agent/llm/models.h"

#include <gtest/gtest.h>

#include "agent/prompts/prompt.h"
#include "base/rng.h"

namespace vortex::agent {
namespace {

constexpr const char* kTwo = R"({"models": [
  {"name": "a", "url": "http://127.0.0.1:1/v1/", "api": "chat", "model": "x", "weight": 3},
  {"name": "b", "url": "http://127.0.0.1:2", "api": "messages", "model": "y", "key_env": "K", "output": "tool"}]})";

TEST(RosterTest, ReadsTheModelsFileStrictly) {
  const auto roster = roster_from_json(kTwo, false);
  ASSERT_TRUE(roster.ok()) << roster.error().message;
  EXPECT_EQ(roster->models[0].url, "http://127.0.0.1:1/v1");
  EXPECT_EQ(roster->models[1].output, OutputForm::kTool);
  EXPECT_FALSE(roster_from_json(kTwo, true).ok()) << "a budget of dollars needs prices";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"\"api\": \"chat\"", "\"api\": \"smoke\""}, {"\"name\": \"b\"", "\"name\": \"a\""},
      {"\"weight\": 3", "\"wieght\": 3"},          {"\"output\": \"tool\"", "\"output\": \"song\""},
      {"\"weight\": 3", "\"weight\": -1"},         {"{\"models\"", "{\"choice\": \"dice\", \"models\""}};
  for (const auto& [from, to] : wrong) {
    std::string text = kTwo;
    text.replace(text.find(from), from.size(), to);
    EXPECT_FALSE(roster_from_json(text, false).ok()) << to;
  }
  for (const char* text : {"", "{}", "[]", R"({"models": []})", R"({"models": 7})"}) {
    EXPECT_FALSE(roster_from_json(text, false).ok()) << text;
  }
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  std::string text = kTwo;
  text.replace(text.find("\"weight\": 3"), 11, "\"extra\": {\"a\": " + deep + "}");
  EXPECT_FALSE(roster_from_json(text, false).ok()) << "whatever its depth";
}

TEST(RosterTest, UrlsMayEndAsExamplesShowThem) {
  for (const auto& [api, path] : {std::pair<std::string, std::string>("chat", "/chat/completions"),
                                  {"responses", "/responses"},
                                  {"messages", "/messages"}}) {
    for (const std::string& end : {std::string(), std::string("/"), std::string("//"), path, path + "/", "/" + path}) {
      const auto roster = roster_from_json(
          R"({"models": [{"name": "a", "model": "m", "api": ")" + api + R"(", "url": "http://h:1/v1)" + end + "\"}]}",
          false);
      ASSERT_TRUE(roster.ok()) << roster.error().message;
      EXPECT_EQ(roster->models[0].url, "http://h:1/v1") << end;
    }
  }
  const auto other = roster_from_json(
      R"({"models": [{"name": "a", "model": "m", "api": "messages", "url": "http://h/chat/completions"}]})", false);
  EXPECT_EQ(other->models[0].url, "http://h/chat/completions") << "the path of another format is not known to be one";
  EXPECT_TRUE(roster_from_json(std::string("\xef\xbb\xbf") + kTwo, false).ok()) << "as Windows writes it";
}

TEST(RosterTest, WeightsAreChancesAndSleepersAreLeftOut) {
  const Roster roster = roster_from_json(kTwo, false).value();
  const std::vector<ModelArm> arms(2);
  int first = 0;
  for (uint64_t key = 0; key < 1000; ++key) { first += choose_model(roster, arms, {0, 1}, mix64(key)) == 0 ? 1 : 0; }
  EXPECT_NEAR(first, 750, 60);
  EXPECT_EQ(choose_model(roster, arms, {1}, 5), 1u);
}

TEST(RosterTest, TheBanditTriesAllThenFollowsRewardForMoney) {
  Roster roster = roster_from_json(kTwo, false).value();
  roster.bandit = true;
  EXPECT_EQ(choose_model(roster, {{10, 9, 1}, {0, 0, 0}}, {0, 1}, 1), 1u) << "never tried";
  EXPECT_EQ(choose_model(roster, {{100, 90, 1}, {100, 20, 1}}, {0, 1}, 1), 0u) << "better at the same price";
  EXPECT_EQ(choose_model(roster, {{100, 50, 100}, {100, 45, 1}}, {0, 1}, 1), 1u) << "nearly as good, far cheaper";
}

TEST(PromptTest, TemplatesAreCompleteAndTellWhatIsWrong) {
  const Templates templates = load_templates("").value();
  for (const char* name : {"system", "reply", "iterate", "innovate", "repair"}) {
    EXPECT_TRUE(templates.contains(name));
  }
  Templates own = {{"t", "one {{a}}\ntwo {{bb}} {{a}}"}};
  EXPECT_EQ(fill_template(own, "t", {{"a", "{{bb}}"}, {"bb", "2"}}).value(), "one {{bb}}\ntwo 2 {{bb}}");
  const auto missing = fill_template(own, "t", {{"a", "1"}, {"bbb", "2"}});
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message, "t.md:2: nothing fills {{bb}} here");
  EXPECT_NE(missing.error().hint.find("bbb"), std::string::npos);
  EXPECT_FALSE(load_templates("/nonexistent").ok());
}

}  // namespace
}  // namespace vortex::agent
