#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::model {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// How a family of models writes a conversation. The models carry theirs as a program in a template language
// (tokenizer_config.json's "chat_template"); we recognise the family by that text and write what the program would.
enum class ChatFamily {
  kChatMl,    // <|im_start|>role ... <|im_end|>: SmolLM2, Qwen2.5 and many others
  kQwen3,     // ChatML with thinking: earlier thoughts are dropped, thinking can be turned off
  kLlama3,    // <|start_header_id|>role<|end_header_id|> ... <|eot_id|>
  kLlama3_1,  // the same; the system message starts with two dates
};

struct ChatTemplate {
  ChatFamily family = ChatFamily::kChatMl;
  std::string default_system;  // ChatML: what stands in for a missing system message; may be empty
};

// The template of <folder>/chat_template.jinja or tokenizer_config.json. None, or one of no known family, is refused.
Result<ChatTemplate> read_chat_template(const std::filesystem::path& folder);

// The text that the model continues as the assistant, special tokens spelled out (encode it without adding more).
// `thinking` false asks a Qwen3 model to answer at once; it changes nothing for others. Llama 3.1's date is the one
// that its template falls back to, 26 Jul 2024, so that a prompt is the same on every day.
std::string render_chat(const ChatTemplate& chat, const std::vector<ChatMessage>& messages, bool thinking);

}  // namespace vortex::model
