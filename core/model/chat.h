#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/model/jinja/template.h"

namespace vortex::model {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// The day that templates with a date in them see unless another is named: the one that Llama 3.1's falls back to.
inline constexpr std::string_view kChatDate = "2024-07-26";

struct ChatOptions {
  std::optional<bool> thinking;       // absent: as the template does by itself
  std::string date{kChatDate};        // YYYY-MM-DD: a prompt is the same on every day
  bool add_generation_prompt = true;  // ends where the assistant's answer begins
};

struct ChatPrompt {
  std::string text;        // special tokens spelled out: encode it without adding more
  bool used_date = false;  // the date is part of what the prompt depends on
};

// How a model writes a conversation: the program in the template language Jinja that comes with it, and the special
// tokens that this program is given by name. Immutable, thread-safe.
class ChatTemplate {
 public:
  // The template of <folder>/chat_template.jinja, tokenizer_config.json or chat_template.json, and the special tokens
  // of tokenizer_config.json and special_tokens_map.json. None, or one outside of the part of Jinja that is covered, is
  // refused.
  static Result<ChatTemplate> read(const std::filesystem::path& folder);

  // The text that the model continues. Refused: a conversation that the template itself refuses, and thinking switched
  // off where the template opens the model's thoughts all the same.
  Result<ChatPrompt> render(const std::vector<ChatMessage>& messages, const ChatOptions& options) const;

  // What the template writes behind an assistant's answer, e.g. "<|im_end|>\n"; empty where that cannot be told.
  std::string end_of_turn() const;

 private:
  jinja::Template template_;
  std::map<std::string, std::string> tokens_;  // e.g. bos_token
  std::vector<std::string> unknown_;           // names of tokens that no file says anything about
};

// The id of the special token that ends an assistant's turn in the folder's chat template, as tokenizer_config.json or
// tokenizer.json numbers it; none where there is no template or it ends turns otherwise.
std::optional<int> read_end_of_turn(const std::filesystem::path& folder);

}  // namespace vortex::model
