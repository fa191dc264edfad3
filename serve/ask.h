// What clients send: the requests of OpenAI's API, as far as this server covers them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/model/chat.h"
#include "serve/refusal.h"

namespace vortex::serve {

enum class Endpoint { kChat, kCompletions };

// One prompt of /v1/completions: text, or the ids of its tokens.
using PromptText = std::variant<std::string, std::vector<int32_t>>;

// A request, read and checked but for what takes the model's tokenizer. A null is a default; members that nobody here
// knows are passed over, as every client has some of its own; those that would change the answer and are not covered
// are refused by name.
struct Ask {
  Endpoint endpoint = Endpoint::kChat;
  std::string model;  // empty: the one that is served
  std::vector<model::ChatMessage> messages;
  std::vector<PromptText> prompts;  // of kCompletions
  int choices = 1;                  // answers to each prompt
  std::optional<int> max_tokens;
  double temperature = 1;
  double top_p = 1;
  int top_k = 0;                 // 0: no limit
  std::optional<uint64_t> seed;  // absent: a fresh one
  std::vector<std::string> stop;
  std::optional<int> top_log_probs;  // absent: no log-probabilities
  bool echo = false;                 // the prompt before the answer
  bool stream = false;
  bool include_usage = false;
  bool ignore_eos = false;
  std::optional<bool> thinking;  // chat_template_kwargs.enable_thinking
};

inline constexpr int kMaxChoices = 128;
inline constexpr int kMaxPrompts = 1024;
inline constexpr int kMaxStops = 16;  // OpenAI's own limit is 4
inline constexpr int kMaxTopLogProbs = 20;

std::variant<Ask, Refusal> parse_ask(Endpoint endpoint, std::string_view body);

}  // namespace vortex::serve
