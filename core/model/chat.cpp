#include "core/model/chat.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/files.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr std::string_view kThink = "<think>";
constexpr std::string_view kThinkEnd = "</think>";

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string strip(std::string_view text, std::string_view characters, bool left, bool right) {
  const size_t begin = left ? text.find_first_not_of(characters) : 0;
  if (begin == std::string_view::npos || text.empty()) { return {}; }
  const size_t end = right ? text.find_last_not_of(characters) : text.size() - 1;
  return end == std::string_view::npos ? std::string() : std::string(text.substr(begin, end + 1 - begin));
}

// The system message that a ChatML template spells out between its quotes; the line break before it is escaped there,
// or a real one.
std::string default_system(std::string_view source) {
  constexpr std::string_view kBegin = "<|im_start|>system";
  for (size_t at = source.find(kBegin); at != std::string_view::npos; at = source.find(kBegin, at + 1)) {
    std::string_view rest = source.substr(at + kBegin.size());
    const size_t line_break = rest.starts_with("\\n") ? 2 : rest.starts_with("\n") ? 1 : 0;
    if (line_break == 0) { continue; }
    rest.remove_prefix(line_break);
    const std::string_view text = rest.substr(0, rest.find("<|im_end|>"));
    if (!text.empty() && text.size() < rest.size() && text.find_first_of("'\"{}\\") == std::string_view::npos) {
      return std::string(text);
    }
  }
  return {};
}

// "chat_template" is the text, or a list of named ones.
std::string template_in(const json& config) {
  const json value = config.is_object() ? config.value("chat_template", json()) : json();
  if (value.is_string()) { return value.get<std::string>(); }
  for (const json& item : value.is_array() ? value : json::array()) {
    if (item.is_object() && item.value("name", json()) == "default" && item.value("template", json()).is_string()) {
      return item["template"].get<std::string>();
    }
  }
  return {};
}

Result<std::string> template_source(const std::filesystem::path& folder) {
  std::error_code ec;
  if (std::filesystem::exists(folder / "chat_template.jinja", ec)) { return read_file(folder / "chat_template.jinja"); }
  std::string source;
  if (std::filesystem::exists(folder / "tokenizer_config.json", ec)) {
    VORTEX_ASSIGN(const std::string text, read_file(folder / "tokenizer_config.json"));
    source = template_in(json::parse(text, nullptr, false));
  }
  if (!source.empty()) { return source; }
  return candidate_error(folder.string() + " has no chat template", "it may be a base model: give it plain text");
}

std::string chatml(std::string_view role, std::string_view content) {
  return "<|im_start|>" + std::string(role) + "\n" + std::string(content) + "<|im_end|>\n";
}

std::string llama3(std::string_view role, std::string_view content) {
  return "<|start_header_id|>" + std::string(role) + "<|end_header_id|>\n\n" + std::string(content) + "<|eot_id|>";
}

std::string trimmed(std::string_view text) { return strip(text, " \t\n\r\v\f", true, true); }

std::string render_chatml(const ChatTemplate& chat, const std::vector<ChatMessage>& messages) {
  std::string text;
  const bool has_system = !messages.empty() && messages[0].role == "system";
  if (!has_system && !chat.default_system.empty()) { text += chatml("system", chat.default_system); }
  for (const ChatMessage& message : messages) { text += chatml(message.role, message.content); }
  return text + "<|im_start|>assistant\n";
}

// An assistant's earlier answer: its thoughts are kept only behind the last question of the user.
std::string qwen3_answer(const std::string& content, bool behind_last_question, bool is_last) {
  const size_t end = content.find(kThinkEnd);
  if (end == std::string::npos && !(behind_last_question && is_last)) { return chatml("assistant", content); }
  std::string thoughts;
  std::string answer = content;
  if (end != std::string::npos) {
    thoughts = strip(content.substr(0, end), "\n", false, true);
    const size_t begin = thoughts.rfind(kThink);
    if (begin != std::string::npos) { thoughts.erase(0, begin + kThink.size()); }
    thoughts = strip(thoughts, "\n", true, true);
    answer = strip(content.substr(content.rfind(kThinkEnd) + kThinkEnd.size()), "\n", true, false);
  }
  if (!behind_last_question || (!is_last && thoughts.empty())) { return chatml("assistant", answer); }
  return chatml("assistant", "<think>\n" + thoughts + "\n</think>\n\n" + strip(answer, "\n", true, false));
}

std::string render_qwen3(const std::vector<ChatMessage>& messages, bool thinking) {
  size_t last_question = messages.empty() ? 0 : messages.size() - 1;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& content = messages[i].content;
    const bool is_tool_answer = content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
    if (messages[i].role == "user" && !is_tool_answer) { last_question = i; }
  }
  std::string text;
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    text += message.role == "assistant" ? qwen3_answer(message.content, i > last_question, i + 1 == messages.size())
                                        : chatml(message.role, message.content);
  }
  return text + "<|im_start|>assistant\n" + (thinking ? "" : "<think>\n\n</think>\n\n");
}

std::string render_llama3(const std::vector<ChatMessage>& messages, bool with_dates) {
  std::string text = "<|begin_of_text|>";
  size_t first = 0;
  if (with_dates) {
    const bool has_system = !messages.empty() && messages[0].role == "system";
    if (has_system) { first = 1; }
    text += llama3("system", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n" +
                                 (has_system ? trimmed(messages[0].content) : std::string()));
  }
  for (size_t i = first; i < messages.size(); ++i) { text += llama3(messages[i].role, trimmed(messages[i].content)); }
  return text + "<|start_header_id|>assistant<|end_header_id|>\n\n";
}

}  // namespace

Result<ChatTemplate> read_chat_template(const std::filesystem::path& folder) {
  VORTEX_ASSIGN(const std::string source, template_source(folder));
  if (contains(source, "<|start_header_id|>")) {
    return ChatTemplate{contains(source, "Cutting Knowledge Date") ? ChatFamily::kLlama3_1 : ChatFamily::kLlama3, {}};
  }
  if (contains(source, "<|im_start|>")) {
    if (contains(source, "enable_thinking")) { return ChatTemplate{ChatFamily::kQwen3, {}}; }
    return ChatTemplate{ChatFamily::kChatMl, default_system(source)};
  }
  return candidate_error(folder.string() + " has a chat template of no known family",
                         "Qwen3, ChatML (Qwen2.5, SmolLM2) and Llama 3 are known; write the prompt's text yourself");
}

std::string render_chat(const ChatTemplate& chat, const std::vector<ChatMessage>& messages, bool thinking) {
  switch (chat.family) {
    case ChatFamily::kQwen3:
      return render_qwen3(messages, thinking);
    case ChatFamily::kLlama3:
      return render_llama3(messages, false);
    case ChatFamily::kLlama3_1:
      return render_llama3(messages, true);
    default:
      return render_chatml(chat, messages);
  }
}

}  // namespace vortex::model
