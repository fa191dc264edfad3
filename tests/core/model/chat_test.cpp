// Conversations as text: what the models' own templates give, run by an independent template engine (Qwen3, Llama 3) or
// worked out by hand (the rest).
#include "core/model/chat.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::model {
namespace {

using nlohmann::json;
using testing::TempFolder;

TEST(Chat, GivesTheTemplatesText) {
  for (const json& test :
       json::parse(read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/chat.json").value())) {
    SCOPED_TRACE(test["name"].get<std::string>());
    TempFolder folder;
    testing::write_text(folder.path() / "tokenizer_config.json", json({{"chat_template", test["template"]}}).dump());
    const auto chat = read_chat_template(folder.path());
    ASSERT_TRUE(chat.ok()) << chat.error().message;
    std::vector<ChatMessage> messages;
    for (const json& message : test["messages"]) { messages.push_back({message["role"], message["content"]}); }
    EXPECT_EQ(render_chat(*chat, messages, test["thinking"].get<bool>()), test["text"].get<std::string>());
  }
}

TEST(Chat, FindsTheTemplate) {
  TempFolder folder;
  EXPECT_NE(read_chat_template(folder.path()).error().message.find("has no chat template"), std::string::npos);
  testing::write_text(folder.path() / "tokenizer_config.json", R"({"chat_template": "[INST] {{ m }} [/INST]"})");
  EXPECT_NE(read_chat_template(folder.path()).error().message.find("of no known family"), std::string::npos);
  testing::write_text(folder.path() / "tokenizer_config.json",
                      R"({"chat_template": [{"name": "default", "template": "<|start_header_id|>"}]})");
  EXPECT_EQ(read_chat_template(folder.path())->family, ChatFamily::kLlama3);
  testing::write_text(folder.path() / "chat_template.jinja", "<|im_start|>");
  EXPECT_EQ(read_chat_template(folder.path())->family, ChatFamily::kChatMl);
}

}  // namespace
}  // namespace vortex::model
