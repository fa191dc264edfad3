// Bodies as endpoints send them. The cases are data: tests/cases/llm/bodies.json.
#include "agent/llm/body_sink.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

const json& cases() {
  static const json all =
      json::parse(read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/llm/bodies.json").value());
  return all;
}

// The reply of a body that comes in pieces; it is not asked for more than it wants.
Result<ChatReply> read_body(const std::string& api, const std::string& type, std::string_view body, bool ended,
                            const std::vector<size_t>& cuts = {}) {
  BodySink sink(**find_wire(api), [] { return 0.0; });
  size_t from = 0;
  for (const size_t cut : cuts) {
    if (!sink.take(type, body.substr(from, cut - from))) { return sink.finish(false); }
    from = cut;
  }
  const bool wanted = sink.take(type, body.substr(from));
  return sink.finish(ended && wanted);
}

TEST(BodySinkTest, KeepsWholeReplies) {
  for (const json& test : cases()) {
    const auto api = test["api"].get<std::string>();
    SCOPED_TRACE(api + ": " + test["name"].get<std::string>());
    const auto reply = read_body(api, test.value("content_type", "text/event-stream"), test["body"].get<std::string>(),
                                 test.value("ended", true));
    if (test.contains("error")) {
      ASSERT_FALSE(reply.ok()) << reply->text;
      EXPECT_EQ(reply.error().blame, Blame::kEnvironment);
      continue;
    }
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->text, test["text"].get<std::string>());
    EXPECT_EQ(reply->finish, test.value("finish", "stop"));
  }
}

// Calls back with every stream of the table.
template <typename Each>
void each_stream(const Each& each) {
  int streams = 0;
  for (const json& test : cases()) {
    if (!test.value("table", false)) { continue; }
    SCOPED_TRACE(test["api"].get<std::string>());
    ++streams;
    each(test["api"].get<std::string>(), test["body"].get<std::string>(), test["text"].get<std::string>());
  }
  EXPECT_EQ(streams, 3);
}

TEST(BodySinkTest, ItIsTheSameHoweverItIsCutIntoPieces) {
  each_stream([](const std::string& api, const std::string& body, const std::string& text) {
    for (size_t at = 0; at <= body.size(); ++at) {
      for (const char* type : {"text/event-stream", ""}) {
        const auto reply = read_body(api, type, body, true, {at});
        ASSERT_TRUE(reply.ok()) << at << ": " << reply.error().message;
        ASSERT_EQ(reply->text, text) << at;
      }
    }
    std::vector<size_t> every;
    for (size_t at = 1; at < body.size(); ++at) { every.push_back(at); }
    EXPECT_EQ(read_body(api, "", body, true, every)->text, text) << "byte by byte";
    EXPECT_EQ(read_body(api, "", "\xef\xbb\xbf" + body, true, {1, 2, 3})->text, text) << "a cut byte order mark";
  });
}

TEST(BodySinkTest, AStreamThatEndsEarlyIsWholeOrRefused) {
  each_stream([](const std::string& api, const std::string& body, const std::string& text) {
    size_t whole = 0;
    for (size_t at = 0; at < body.size(); ++at) {
      const auto reply = read_body(api, "text/event-stream", body.substr(0, at), at % 2 == 0);
      if (!reply.ok()) {
        ASSERT_EQ(whole, 0u) << "more of it is refused: " << at;
        continue;
      }
      ++whole;
      ASSERT_EQ(reply->text, text) << at;
      ASSERT_EQ(reply->finish, "stop");
    }
    EXPECT_GT(whole, 0u) << "the last line break does not matter";
  });
}

// A byte that comes twice spoils the event that it is in, at most.
TEST(BodySinkTest, ADoubledByteCostsItsEventOnly) {
  each_stream([](const std::string& api, const std::string& body, const std::string& text) {
    size_t kept = 0;
    for (size_t at = 0; at < body.size(); ++at) {
      const auto reply = read_body(api, "text/event-stream", body.substr(0, at + 1) + body.substr(at), true);
      if (!reply.ok()) { continue; }
      ++kept;
      ASSERT_LE(reply->text.size(), text.size() + 2) << at;
      ASSERT_GE(reply->text.size() + 20, text.size()) << at << ": " << reply->text;
    }
    EXPECT_GT(kept, body.size() * 3 / 4);
  });
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// The same events with their JSON in ASCII.
std::string in_ascii(const std::string& body) {
  std::string out;
  SseParser parser;
  for (const ServerEvent& event : parser.feed(body)) {
    const json data = json::parse(event.data, nullptr, false);
    out += "data: " + (data.is_discarded() ? event.data : data.dump(-1, ' ', true)) + "\n\n";
  }
  return out;
}

TEST(BodySinkTest, ItIsTheSameHoweverItIsEncoded) {
  each_stream([](const std::string& api, const std::string& body, const std::string& text) {
    const std::vector<std::string> forms = {replaced(body, "\n", "\r\n"),
                                            replaced(body, "\n", "\r"),
                                            replaced(body, "data: ", "data:"),
                                            replaced(body, "\n\n", "\n\n: comment\n\n"),
                                            replaced(body, "\n\n", "\n\n\n\n"),
                                            replaced(body, "\n\n", "\nid: 7\nretry: 10\nunknown\n\n"),
                                            "\xef\xbb\xbf" + body,
                                            in_ascii(body)};
    for (const std::string& form : forms) {
      for (size_t at = 0; at <= form.size(); at += 3) {
        const auto reply = read_body(api, "text/plain", form, true, {at});
        ASSERT_TRUE(reply.ok()) << reply.error().message << " in " << form;
        ASSERT_EQ(reply->text, text);
      }
    }
  });
}

TEST(BodySinkTest, EveryEventMayComeTwiceButThePieces) {
  each_stream([](const std::string& api, const std::string& body, const std::string& text) {
    SseParser parser;
    std::string twice;
    for (const ServerEvent& event : parser.feed(body)) {
      const bool piece = event.data.find("delta\": {\"content") != std::string::npos ||
                         event.data.find("_delta\"") != std::string::npos ||
                         event.data.find("text.delta") != std::string::npos;
      for (int i = 0; i < (piece ? 1 : 2); ++i) { twice += "data: " + event.data + "\n\n"; }
    }
    const auto reply = read_body(api, "text/event-stream", twice, true);
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->text, text);
  });
}

TEST(BodySinkTest, AQuietConnectionEndsBehindTheFinishReason) {
  double now = 10;
  BodySink sink(kChatCompletions, [&] { return now; });
  EXPECT_TRUE(sink.take("", "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\n"));
  now = 1000;
  EXPECT_FALSE(sink.waited_enough()) << "more may come";
  EXPECT_TRUE(sink.take("", "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\n"));
  now += 2;
  EXPECT_FALSE(sink.waited_enough()) << "the counts may come";
  now += 2;
  EXPECT_TRUE(sink.waited_enough());
  EXPECT_EQ(sink.finish(false)->text, "a");
}

TEST(BodySinkTest, NothingIsWantedBehindTheEnd) {
  BodySink sink(kChatCompletions, [] { return 0.0; });
  EXPECT_TRUE(sink.take("", "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\n"));
  EXPECT_FALSE(sink.take("", "data: [DONE]\n\n"));
  EXPECT_EQ(sink.finish(false)->text, "a");
}

}  // namespace
}  // namespace vortex::agent
