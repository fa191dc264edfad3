// Renders chat templates: what scripts/compare_chat_templates.py runs. A line in is {"template", "messages", "tokens",
// "thinking" or null, "date", "generate"}, a line out {"text"} or {"error"}.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/model/chat.h"

namespace {

using nlohmann::json;
using vortex::model::ChatMessage;
using vortex::model::ChatOptions;
using vortex::model::ChatTemplate;

json render(const json& asked, const std::filesystem::path& folder) {
  json config = asked["tokens"];
  config["chat_template"] = asked["template"];
  std::ofstream(folder / "tokenizer_config.json") << config.dump();
  const auto chat = ChatTemplate::read(folder);
  if (!chat.ok()) { return {{"error", chat.error().message}}; }
  std::vector<ChatMessage> messages;
  for (const json& message : asked["messages"]) { messages.push_back({message["role"], message["content"]}); }
  ChatOptions options;
  if (asked["thinking"].is_boolean()) { options.thinking = asked["thinking"].get<bool>(); }
  options.date = asked["date"];
  options.add_generation_prompt = asked["generate"];
  const auto prompt = chat->render(messages, options);
  if (!prompt.ok()) { return {{"error", prompt.error().message}}; }
  return {{"text", prompt->text}};
}

}  // namespace

int main() {
  const auto folder = std::filesystem::temp_directory_path() / ("chat-render-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << render(json::parse(line), folder).dump() << '\n';
  }
  std::filesystem::remove_all(folder);
}
