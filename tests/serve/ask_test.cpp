// The shapes of requests that clients send, as recorded, and what is refused: tests/cases/serve/requests.json.
#include "serve/ask.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace vortex::serve {
namespace {

using nlohmann::json;

// What an Ask came to, in the words of the cases.
json told(const Ask& ask) {
  json messages = json::array();
  for (const model::ChatMessage& message : ask.messages) { messages.push_back({message.role, message.content}); }
  json result = {{"model", ask.model},
                 {"messages", messages},
                 {"prompts", ask.prompts.size()},
                 {"n", ask.choices},
                 {"max_tokens", ask.max_tokens ? json(*ask.max_tokens) : json()},
                 {"temperature", ask.temperature},
                 {"top_p", ask.top_p},
                 {"greedy_top_p", ask.top_p > 0 && ask.top_p < 1e-300},
                 {"top_k", ask.top_k},
                 {"seed", ask.seed ? json(*ask.seed) : json()},
                 {"stop", ask.stop},
                 {"top_log_probs", ask.top_log_probs ? json(*ask.top_log_probs) : json()},
                 {"echo", ask.echo},
                 {"stream", ask.stream},
                 {"include_usage", ask.include_usage},
                 {"ignore_eos", ask.ignore_eos},
                 {"thinking", ask.thinking ? json(*ask.thinking) : json()}};
  if (!ask.prompts.empty() && std::holds_alternative<std::vector<int32_t>>(ask.prompts[0])) {
    result["prompt_ids"] = std::get<std::vector<int32_t>>(ask.prompts[0]);
  }
  return result;
}

TEST(Ask, ReadsWhatClientsSendAndRefusesTheRestByName) {
  const std::string text = read_file(VORTEX_SOURCE_DIR "/tests/cases/serve/requests.json").value();
  int refusals = 0;
  for (const json& item : json::parse(text)) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const Endpoint endpoint = item["endpoint"] == "chat" ? Endpoint::kChat : Endpoint::kCompletions;
    const std::string body = item.contains("raw") ? item["raw"].get<std::string>() : item["body"].dump();
    const std::variant<Ask, Refusal> asked = parse_ask(endpoint, body);
    if (item.contains("refused")) {
      ASSERT_TRUE(std::holds_alternative<Refusal>(asked));
      const auto& refusal = std::get<Refusal>(asked);
      EXPECT_EQ(refusal.status, item["refused"]["status"]);
      EXPECT_EQ(refusal.param, item["refused"]["param"]);
      EXPECT_FALSE(refusal.message.empty());
      ++refusals;
      continue;
    }
    ASSERT_TRUE(std::holds_alternative<Ask>(asked)) << std::get<Refusal>(asked).message;
    const json result = told(std::get<Ask>(asked));
    for (const auto& [name, value] : item["expect"].items()) { EXPECT_EQ(result.at(name), value) << name; }
  }
  EXPECT_GT(refusals, 20);
}

TEST(Ask, NestedTooDeeplyIsRefused) {
  const std::string deep(100'000, '[');
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_ask(Endpoint::kChat, "{\"messages\": " + deep)));
  EXPECT_TRUE(std::holds_alternative<Refusal>(
      parse_ask(Endpoint::kChat, "{\"messages\": " + deep + std::string(deep.size(), ']') + "}")));
}

}  // namespace
}  // namespace vortex::serve
