#include "agent/llm/wire.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/llm/reply.h"
#include "base/rng.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

std::string told(const std::vector<ServerEvent>& events) {
  std::string text;
  for (const ServerEvent& event : events) { text += "[" + event.name + "|" + event.data + "]"; }
  return text;
}

TEST(SseTest, ReadsEventsAsTheStandardSays) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"data: a\n\n", "[|a]"},
      {"data: a\r\n\r\ndata:b\r\r", "[|a][|b]"},
      {"event: x\ndata: 1\ndata: 2\n\ndata: 3\n\n", "[x|1\n2][|3]"},
      {": comment\nid: 7\nretry: 5\nevent: lonely\n\n", ""},
      {"\xef\xbb\xbf"
       "data: bom\n\n",
       "[|bom]"},
      {"data\n\n", "[|]"},
      {"data: never ended\n", ""},
      {"data: ended\n\ndata: never", "[|ended]"},
      {"data:  two spaces\n\n", "[| two spaces]"},
  };
  for (const auto& [bytes, expected] : cases) {
    SseParser whole;
    EXPECT_EQ(told(whole.feed(bytes)), expected) << bytes;
    for (uint64_t seed = 0; seed < 20; ++seed) {  // however it is cut into pieces
      SseParser parser;
      Rng rng(seed);
      std::string text;
      for (size_t at = 0; at < bytes.size();) {
        const size_t piece = 1 + rng.below(4);
        text += told(parser.feed(std::string_view(bytes).substr(at, piece)));
        at += piece;
      }
      EXPECT_EQ(text, expected) << bytes;
    }
  }
}

TEST(SseTest, TheLastEventNeedsNoBlankLine) {
  for (const char* bytes : {"data: a", "data: a\n", "data: a\r\n", "data: a\n\n"}) {
    SseParser parser;
    const std::string fed = told(parser.feed(bytes));
    EXPECT_EQ(fed + told(parser.finish()), "[|a]") << bytes;
  }
  SseParser parser;
  parser.feed(": comment");
  EXPECT_TRUE(parser.finish().empty());
}

TEST(SseTest, AnEndlessEventBreaksTheStream) {
  SseParser parser;
  const std::string piece(1 << 20, 'x');
  parser.feed("data: ");
  for (int i = 0; i < 20 && !parser.broken(); ++i) { parser.feed(piece); }
  EXPECT_TRUE(parser.broken());
  EXPECT_TRUE(parser.feed("\n\ndata: late\n\n").empty());
}

ChatRequest example_request() {
  ChatRequest request;
  request.model = "m";
  request.system = "be brief";
  request.prompt = "write";
  request.max_output_tokens = 50;
  request.stream = false;
  request.schema = reply_schema();
  return request;
}

TEST(WireTest, EveryFormatAsksForWhatIsMeant) {
  for (const char* name : {"chat", "responses", "messages"}) {
    const WireFormat& wire = **find_wire(name);
    ChatRequest request = example_request();
    const std::string plain = wire.body(request).dump();
    EXPECT_NE(plain.find("be brief"), std::string::npos);
    EXPECT_NE(plain.find("\"write\""), std::string::npos);
    EXPECT_NE(plain.find(":50"), std::string::npos);
    EXPECT_EQ(plain.find("stream"), std::string::npos);
    EXPECT_EQ(plain.find("temperature"), std::string::npos) << "the endpoint's default";
    EXPECT_EQ(plain.find("\"schema\""), std::string::npos);
    request.stream = true;
    request.temperature = 0.5;
    request.output = OutputForm::kSchema;
    request.extra = {{"top_k", 3}};
    json body = wire.body(request);
    EXPECT_EQ(body["stream"], true);
    EXPECT_EQ(body["temperature"], 0.5);
    EXPECT_EQ(body["top_k"], 3);
    EXPECT_NE(body.dump().find("additionalProperties"), std::string::npos);
    EXPECT_TRUE(body.dump().find(":50") != std::string::npos);
    request.extra = {{"max_tokens", nullptr}, {"max_output_tokens", nullptr}, {"max_completion_tokens", 51}};
    body = wire.body(request);
    EXPECT_EQ(body.dump().find(":50"), std::string::npos) << "null takes a member out";
    EXPECT_EQ(body["max_completion_tokens"], 51);
    request.output = OutputForm::kTool;
    body = wire.body(request);
    ASSERT_TRUE(body["tools"].is_array());
    EXPECT_EQ(body["tools"].size(), 1u);
    EXPECT_NE(body["tool_choice"].dump().find(kReplyTool), std::string::npos);
  }
  EXPECT_EQ(kMessages.body(example_request())["messages"], json::parse(R"([{"role":"user","content":"write"}])"));
}

TEST(WireTest, KeysGoIntoHeadersAlone) {
  for (const char* name : {"chat", "responses", "messages"}) {
    const WireFormat& wire = **find_wire(name);
    const auto with = wire.headers("sesame");
    EXPECT_TRUE(std::any_of(with.begin(), with.end(),
                            [](const std::string& line) { return line.find("sesame") != std::string::npos; }));
    for (const std::string& line : wire.headers("")) {
      EXPECT_EQ(line.find("Authorization"), std::string::npos);
      EXPECT_EQ(line.find("x-api-key"), std::string::npos);
    }
  }
}

TEST(WireTest, ToolCallsAreReadInEveryFormat) {
  const auto chat = kChatCompletions.read(
      R"({"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
      R"("finish_reason":"tool_calls"}]})");
  ASSERT_TRUE(chat.ok());
  EXPECT_EQ(chat->text, R"({"a":1})");
  EXPECT_EQ(chat->finish, "stop");
  const auto responses =
      kResponses.read(R"({"status":"completed","output":[{"type":"function_call","arguments":"{\"a\":1}"}]})");
  ASSERT_TRUE(responses.ok());
  EXPECT_EQ(responses->text, R"({"a":1})");
  const auto messages =
      kMessages.read(R"({"type":"message","content":[{"type":"tool_use","input":{"a":1}}],"stop_reason":"tool_use"})");
  ASSERT_TRUE(messages.ok());
  EXPECT_EQ(messages->text, R"({"a":1})");
}

TEST(WireTest, ForeignBytesAreTheEnvironmentsFault) {
  const std::vector<std::string> bodies = {"",
                                           "null",
                                           "[]",
                                           "{}",
                                           "{\"choices\":7}",
                                           "\xff\xfe",
                                           "{\"content\":{}}",
                                           std::string(10000, '['),
                                           R"({"error":{"message":"no"}})"};
  for (const WireFormat* wire : {&kChatCompletions, &kResponses, &kMessages}) {
    for (const std::string& body : bodies) {
      const auto reply = wire->read(body);
      ASSERT_FALSE(reply.ok()) << wire->name << ": " << body;
      EXPECT_EQ(reply.error().blame, Blame::kEnvironment);
    }
  }
  EXPECT_EQ(error_message_of(R"({"error":{"message":"too many"}})"), "too many");
  EXPECT_EQ(error_message_of(R"({"error":"busy"})"), "busy");
  EXPECT_EQ(error_message_of("bad\ngateway"), "bad gateway");
  EXPECT_FALSE(find_wire("telnet").ok());
}

}  // namespace
}  // namespace vortex::agent
