// Conversations as text. The expected texts are those of Python's Jinja as transformers sets it up;
// scripts/compare_chat_templates.py --cases asks it anew.
#include "core/model/chat.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::model {
namespace {

using nlohmann::json;
using testing::TempFolder;
using testing::write_text;

json cases(const std::string& name) {
  return json::parse(read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/" + name).value());
}

jinja::Value value_of(const json& item) {
  if (item.is_string()) { return item.get<std::string>(); }
  if (item.is_number_integer()) { return item.get<int64_t>(); }
  if (item.is_array()) {
    std::vector<jinja::Value> items;
    for (const json& each : item) { items.push_back(value_of(each)); }
    return *jinja::make_list(std::move(items));
  }
  std::vector<std::pair<std::string, jinja::Value>> members;
  for (const auto& [key, each] : item.items()) { members.emplace_back(key, value_of(each)); }
  return *jinja::make_dict(std::move(members));
}

Result<jinja::Rendered> render_case(const json& test) {
  jinja::Inputs inputs;
  inputs.date = kChatDate;
  inputs.variables.emplace_back("messages", value_of(json::array()));
  const json variables = test.value("variables", json::object());
  for (const auto& [name, value] : variables.items()) { inputs.variables.emplace_back(name, value_of(value)); }
  VORTEX_ASSIGN(const jinja::Template parsed, jinja::Template::parse(test["template"].get<std::string>()));
  return parsed.render(inputs);
}

TEST(Jinja, MeansWhatPythonsMeans) {
  for (const json& test : cases("jinja.json")) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const auto rendered = render_case(test);
    if (test.contains("text")) {
      ASSERT_TRUE(rendered.ok()) << rendered.error().message;
      EXPECT_EQ(rendered->text, test["text"].get<std::string>());
    } else {
      ASSERT_FALSE(rendered.ok()) << rendered->text;
      EXPECT_NE(rendered.error().message.find(test["error"].get<std::string>()), std::string::npos)
          << rendered.error().message;
      EXPECT_EQ(rendered.error().blame, Blame::kCandidate);
      EXPECT_TRUE(rendered.error().message.starts_with("chat template, line ")) << rendered.error().message;
    }
  }
}

TEST(Jinja, SaysWhetherTheDateWasUsed) {
  for (const bool asks : {true, false}) {
    const auto rendered = render_case({{"template", asks ? "{{ strftime_now('%Y') }}" : "{{ 'strftime_now' }}"}});
    ASSERT_TRUE(rendered.ok());
    EXPECT_EQ(rendered->used_date, asks);
  }
  EXPECT_FALSE(render_case({{"template", "{{ strftime_now('%Q') }}"}}).ok());
}

Result<ChatPrompt> render_chat_case(const json& test) {
  TempFolder folder;
  json config = test["tokens"];
  config["chat_template"] = test["template"];
  write_text(folder.path() / "tokenizer_config.json", config.dump());
  VORTEX_ASSIGN(const ChatTemplate chat, ChatTemplate::read(folder.path()));
  std::vector<ChatMessage> messages;
  for (const json& message : test["messages"]) { messages.push_back({message["role"], message["content"]}); }
  ChatOptions options;
  if (test["thinking"].is_boolean()) { options.thinking = test["thinking"].get<bool>(); }
  return chat.render(messages, options);
}

TEST(Chat, GivesTheTemplatesText) {
  for (const json& test : cases("chat.json")) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const auto prompt = render_chat_case(test);
    if (test.contains("text")) {
      ASSERT_TRUE(prompt.ok()) << prompt.error().message;
      EXPECT_EQ(prompt->text, test["text"].get<std::string>());
    } else {
      ASSERT_FALSE(prompt.ok()) << prompt->text;
      EXPECT_NE(prompt.error().message.find(test["error"].get<std::string>()), std::string::npos)
          << prompt.error().message;
    }
  }
}

std::string rendered(const std::filesystem::path& folder) {
  const auto chat = ChatTemplate::read(folder);
  if (!chat.ok()) { return chat.error().message; }
  const auto prompt = chat->render({{"user", "Hi"}}, {});
  return prompt.ok() ? prompt->text : prompt.error().message;
}

TEST(Chat, FindsTheTemplate) {
  TempFolder folder;
  EXPECT_NE(rendered(folder.path()).find("has no chat template"), std::string::npos);
  write_text(folder.path() / "chat_template.json", R"({"chat_template": "processor"})");
  EXPECT_EQ(rendered(folder.path()), "processor");
  write_text(folder.path() / "tokenizer_config.json",
             R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "list"}]})");
  EXPECT_EQ(rendered(folder.path()), "list");
  write_text(folder.path() / "chat_template.jinja", "a file of its own\n");
  EXPECT_EQ(rendered(folder.path()), "a file of its own");
  write_text(folder.path() / "chat_template.jinja", "\n{% extends 'x' %}");
  EXPECT_NE(rendered(folder.path()).find("line 2: the tag extends is not supported"), std::string::npos);
}

// A file that cannot be read is no file that is not there.
TEST(Chat, NamesAFileThatCannotBeRead) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "chat_template.json"}) {
    TempFolder folder;
    write_text(folder.path() / name, "{\"chat_template\": \"t\",}");
    EXPECT_NE(rendered(folder.path()).find(std::string(name) + " is not a JSON object"), std::string::npos) << name;
  }
  TempFolder folder;
  write_text(folder.path() / "tokenizer_config.json",
             "\xef\xbb\xbf{\"model_max_length\": Infinity, \"chat_template\": \"t\"}\r\n");
  EXPECT_EQ(rendered(folder.path()), "t") << "as Python and Windows write it";
}

TEST(Chat, FindsTheSpecialTokens) {
  TempFolder folder;
  write_text(folder.path() / "chat_template.jinja", "{{ bos_token }}{{ eos_token }}{{ pad_token }}");
  write_text(folder.path() / "tokenizer_config.json", R"({"bos_token": {"content": "<b>"}, "pad_token": null})");
  write_text(folder.path() / "special_tokens_map.json", R"({"bos_token": "<x>", "eos_token": {"content": "<e>"}})");
  EXPECT_EQ(rendered(folder.path()), "<b><e>");
  std::filesystem::remove(folder.path() / "special_tokens_map.json");
  EXPECT_NE(rendered(folder.path()).find("uses eos_token"), std::string::npos);
}

TEST(Chat, FindsTheEndOfATurn) {
  TempFolder folder;
  EXPECT_EQ(read_end_of_turn(folder.path()), std::nullopt);
  const char* chat = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}\n<|end|>\n{% endfor %}";
  write_text(folder.path() / "chat_template.jinja", chat);
  EXPECT_EQ(read_end_of_turn(folder.path()), std::nullopt);
  write_text(folder.path() / "tokenizer.json",
             R"({"added_tokens": [{"id": 7, "content": "<|end|>", "special": true}, {"id": 8, "content": "<|e"}]})");
  EXPECT_EQ(read_end_of_turn(folder.path()), 7);
  write_text(folder.path() / "tokenizer_config.json",
             R"({"added_tokens_decoder": {"3": {"content": "<|end", "special": true},
                                          "5": {"content": "<|end|>", "special": true}, "x": {}}})");
  EXPECT_EQ(read_end_of_turn(folder.path()), 5);
  write_text(folder.path() / "chat_template.jinja",
             "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
  EXPECT_EQ(read_end_of_turn(folder.path()), std::nullopt);
}

}  // namespace
}  // namespace vortex::model
