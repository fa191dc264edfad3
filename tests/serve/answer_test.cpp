// The shapes of answers: what clients read, and the places where other servers' answers broke them.
#include "serve/answer.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/serve/support.h"

namespace vortex::serve {
namespace {

using nlohmann::json;
using testing::byte_tokens;

class AnswerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tokenizer_ = testing::byte_tokenizer();
    if (tokenizer_ == nullptr) { GTEST_SKIP() << "this build has no BPE"; }
  }

  Ask asked(Endpoint endpoint, const json& more) const {
    json body = {{"messages", json::array({{{"role", "user"}, {"content", "q"}}})}, {"prompt", "q"}};
    body.update(more);
    return std::get<Ask>(parse_ask(endpoint, body.dump()));
  }

  Answer answer_to(const Ask& ask, const std::string& prompt = "xy") const {
    return {ask, {{byte_tokens(*tokenizer_, prompt), prompt}}, *tokenizer_, "id-1", 17, "m"};
  }

  // Feeds the tokens of `text` to a choice, a stop token behind them if `stops`.
  std::vector<json> feed(Answer& answer, size_t choice, const std::string& text, bool stops) const {
    std::vector<int32_t> ids = byte_tokens(*tokenizer_, text);
    if (stops) { ids.push_back(557); }
    std::vector<json> chunks;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool last = i + 1 == ids.size();
      engine::LiveToken token{ids[i], last, last && stops, -0.5F, {{ids[i], -0.5F}, {2, -1.5F}}};
      for (const std::string& chunk : answer.take(choice, std::move(token))) { chunks.push_back(json::parse(chunk)); }
    }
    return chunks;
  }

  std::shared_ptr<const model::Tokenizer> tokenizer_;
};

// A text, or its bytes.
std::string bytes_of(const json& text) {
  if (text.is_string()) { return text; }
  std::string bytes;
  for (const int byte : text) { bytes += static_cast<char>(byte); }
  return bytes;
}

// What a chunk says that clients look at, as the cases have it.
json told(const json& chunk) {
  const json& choice = chunk.at("choices").at(0);
  const bool chat = choice.contains("delta");
  json result = {{"text", chat ? choice["delta"].value("content", "") : choice.at("text").get<std::string>()}};
  if (!choice.at("finish_reason").is_null()) { result["finish"] = choice["finish_reason"]; }
  const json& scored = choice.at("logprobs");
  if (scored.is_null()) { return result; }
  result["scored"] = json::array();
  for (const json& token : scored.at(chat ? "content" : "tokens")) {
    result["scored"].push_back(chat ? token.at("bytes") : token);
  }
  return result;
}

// Where the streams of other servers broke their clients.
TEST_F(AnswerTest, StreamsAreFreeOfWhatBitOthers) {
  const json cases = json::parse(read_file(VORTEX_SOURCE_DIR "/tests/cases/serve/streams.json").value());
  EXPECT_GE(cases.size(), 13U);
  for (const json& item : cases) {
    SCOPED_TRACE(item["name"].get<std::string>() + " (" + item["bug"].get<std::string>() + ")");
    const Ask ask = asked(item["endpoint"] == "chat" ? Endpoint::kChat : Endpoint::kCompletions, item["body"]);
    Answer answer = answer_to(ask, bytes_of(item.value("prompt", json("xy"))));
    json all = json::array();
    for (const json& chunk : feed(answer, 0, bytes_of(item["tokens"]), item.value("stop_token", false))) {
      EXPECT_EQ(chunk.contains("usage"), ask.include_usage);
      all.push_back(told(chunk));
    }
    EXPECT_EQ(all, item["chunks"]);
    const std::string usage = answer.usage_chunk();
    ASSERT_EQ(!usage.empty(), item.value("usage", false));
    if (!usage.empty()) { EXPECT_EQ(json::parse(usage)["choices"], json::array()); }
  }
}

TEST_F(AnswerTest, AChatStreamHasItsRoleInTheFirstContentAndAReasonInEveryChoice) {
  const Ask ask = asked(Endpoint::kChat, {{"stream", true}});
  Answer answer = answer_to(ask);
  const std::vector<json> chunks = feed(answer, 0, "a😀", true);
  ASSERT_EQ(chunks.size(), 3U) << "no chunk before there is text, none for a part of a character";
  for (const json& chunk : chunks) {
    EXPECT_EQ(chunk["id"], "id-1");
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["created"], 17);
    EXPECT_EQ(chunk["model"], "m");
    EXPECT_FALSE(chunk.contains("usage")) << "nobody asked for it";
    ASSERT_EQ(chunk["choices"].size(), 1U);
    EXPECT_TRUE(chunk["choices"][0].contains("finish_reason"));
    EXPECT_TRUE(chunk["choices"][0].contains("logprobs"));
    EXPECT_TRUE(chunk["choices"][0]["logprobs"].is_null());
  }
  EXPECT_EQ(chunks[0]["choices"][0]["delta"], (json{{"role", "assistant"}, {"content", "a"}}));
  EXPECT_TRUE(chunks[0]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(chunks[1]["choices"][0]["delta"], (json{{"content", "😀"}}));
  EXPECT_EQ(chunks[2]["choices"][0]["delta"], json::object());
  EXPECT_EQ(chunks[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(answer.is_done());
  EXPECT_EQ(answer.usage_chunk(), "");
}

TEST_F(AnswerTest, UsageComesOnceInAChunkWithAnEmptyListOfChoices) {
  Ask ask = asked(Endpoint::kChat, {{"stream", true}, {"n", 2}, {"stream_options", {{"include_usage", true}}}});
  Answer answer = answer_to(ask);
  answer.take_start(1, {2, 2});
  answer.take_start(0, {2, 1});  // what is found of a prompt is told once
  for (size_t choice : {1U, 0U}) {
    for (const json& chunk : feed(answer, choice, "ab", false)) {
      EXPECT_TRUE(chunk["usage"].is_null());
      EXPECT_EQ(chunk["choices"][0]["index"], choice);
    }
  }
  const json usage = json::parse(answer.usage_chunk());
  EXPECT_EQ(usage["choices"], json::array());
  EXPECT_EQ(usage["usage"], (json{{"prompt_tokens", 2},
                                  {"completion_tokens", 4},
                                  {"total_tokens", 6},
                                  {"prompt_tokens_details", {{"cached_tokens", 1}}}}));
}

TEST_F(AnswerTest, AnAnswerWithoutTextStillHasARole) {
  Answer answer = answer_to(asked(Endpoint::kChat, {{"stream", true}}));
  const std::vector<json> chunks = feed(answer, 0, "", true);
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"], (json{{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(chunks[0]["choices"][0]["finish_reason"], "stop");
}

TEST_F(AnswerTest, AStopStringEndsTheStreamAndIsNeverSent) {
  Answer answer = answer_to(asked(Endpoint::kCompletions, {{"stream", true}, {"stop", "cd"}}));
  std::string text;
  std::string finish;
  for (const json& chunk : feed(answer, 0, "abcdef", false)) {
    EXPECT_EQ(chunk["object"], "text_completion");
    text += chunk["choices"][0]["text"].get<std::string>();
    if (!chunk["choices"][0]["finish_reason"].is_null()) { finish = chunk["choices"][0]["finish_reason"]; }
  }
  EXPECT_EQ(text, "ab");
  EXPECT_EQ(finish, "stop");
  EXPECT_EQ(answer.completion_tokens(), 4) << "those that were decoded for it, and no later ones";
}

TEST_F(AnswerTest, AWholeAnswer) {
  Answer answer = answer_to(asked(Endpoint::kChat, json::object()));
  EXPECT_TRUE(feed(answer, 0, "hi", false).empty());
  const json whole = json::parse(answer.whole());
  EXPECT_EQ(whole["object"], "chat.completion");
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "hi");
  EXPECT_EQ(whole["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(whole["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(whole["usage"]["total_tokens"], 4);
}

TEST_F(AnswerTest, ChatLogProbsNameTheBytesOfPartsOfCharacters) {
  Answer answer = answer_to(asked(Endpoint::kChat, {{"logprobs", true}, {"top_logprobs", 2}}));
  feed(answer, 0, "é", false);
  const json content = json::parse(answer.whole())["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2U);
  EXPECT_EQ(content[0]["bytes"], json::array({0xc3}));
  EXPECT_EQ(content[1]["bytes"], json::array({0xa9}));
  EXPECT_EQ(content[0]["logprob"], -0.5);
  EXPECT_EQ(content[0]["top_logprobs"].size(), 2U);
  EXPECT_TRUE(content[0]["token"].is_string());
}

TEST_F(AnswerTest, StreamedLogProbsComeWithTheirText) {
  Answer answer = answer_to(asked(Endpoint::kChat, {{"stream", true}, {"logprobs", true}}));
  const std::vector<json> chunks = feed(answer, 0, "aé", false);
  ASSERT_EQ(chunks.size(), 3U);
  EXPECT_EQ(chunks[0]["choices"][0]["logprobs"]["content"].size(), 1U);
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"]["content"].size(), 2U);
  EXPECT_TRUE(chunks[2]["choices"][0]["logprobs"].is_null());
}

// As lm-eval reads it: entries of the prompt's tokens first, null for its first one, then those of the answer.
TEST_F(AnswerTest, AnEchoHasThePromptsLogProbs) {
  Answer answer = answer_to(asked(Endpoint::kCompletions, {{"echo", true}, {"logprobs", 1}}));
  answer.take_prompt(0, {{-2.0F, {{3, -0.25F}}}});
  feed(answer, 0, "a", false);
  const json choice = json::parse(answer.whole())["choices"][0];
  EXPECT_EQ(choice["text"], "xya");
  EXPECT_EQ(choice["logprobs"]["tokens"], (json{"x", "y", "a"}));
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], (json{nullptr, -2.0, -0.5}));
  EXPECT_EQ(choice["logprobs"]["text_offset"], (json{0, 1, 2}));
  EXPECT_TRUE(choice["logprobs"]["top_logprobs"][0].is_null());
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1]["y"], -2.0) << "the chosen token is among them";
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1].size(), 2U);
}

TEST_F(AnswerTest, AnEchoOfNothingNew) {
  Answer answer = answer_to(asked(Endpoint::kCompletions, {{"echo", true}, {"logprobs", 0}, {"max_tokens", 0}}));
  answer.take_prompt(0, {{-2.0F, {}}});
  feed(answer, 0, "a", false);
  const json whole = json::parse(answer.whole());
  EXPECT_EQ(whole["choices"][0]["text"], "xy");
  EXPECT_EQ(whole["choices"][0]["logprobs"]["tokens"].size(), 2U);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 0);
}

TEST_F(AnswerTest, RefusalsHaveFourMembers) {
  const json body = json::parse(refusal_body({429, "later", "rate_limit_error", "", "queue_full", 1}));
  EXPECT_EQ(body["error"],
            (json{{"message", "later"}, {"type", "rate_limit_error"}, {"param", nullptr}, {"code", "queue_full"}}));
}

}  // namespace
}  // namespace vortex::serve
