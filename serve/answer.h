// What clients get: the answers of OpenAI's API, whole or in chunks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine/session.h"
#include "core/model/tokenizer.h"
#include "serve/ask.h"
#include "serve/choice_text.h"
#include "serve/refusal.h"

namespace vortex::serve {

std::string refusal_body(const Refusal& refusal);

// A prompt, ready for the engine.
struct TokenPrompt {
  std::vector<int32_t> ids;
  std::string text;  // for an echo
};

// Puts one answer together: every prompt's choices, in the order of the prompts. Knows no network and no engine; tokens
// come in, texts go out.
class Answer {
 public:
  // `created` is in seconds since the epoch. The tokenizer outlives it.
  Answer(const Ask& ask, std::vector<TokenPrompt> prompts, const model::Tokenizer& tokenizer, std::string id,
         int64_t created, std::string model);

  size_t choices() const { return choices_.size(); }
  const std::vector<int32_t>& prompt_of(size_t choice) const { return prompts_[prompt_index(choice)].ids; }

  // The log-probabilities of a choice's prompt, for an echo; before its first token.
  void take_prompt(size_t choice, std::vector<engine::PromptProb> probs);
  // A new token. Gives the chunks that a stream sends now.
  std::vector<std::string> take(size_t choice, engine::LiveToken token);
  void take_start(size_t choice, const engine::LiveStart& start);

  bool is_done(size_t choice) const { return !choices_[choice].finish.empty(); }
  bool is_done() const;
  const std::string& finish_of(size_t choice) const { return choices_[choice].finish; }  // "stop" or "length"
  int64_t produced(size_t choice) const { return choices_[choice].produced; }            // tokens so far
  int64_t prompt_tokens() const;
  int64_t completion_tokens() const;

  // When all are done: the chunk with the usage, where it was asked for (else empty), or the whole answer.
  std::string usage_chunk() const;
  std::string whole() const;

 private:
  struct Choice {
    ChoiceText text;
    std::string told;
    std::vector<ToldToken> tokens;
    std::vector<engine::PromptProb> prompt;
    int64_t produced = 0;
    size_t characters = 0;  // told, the echo included
    bool begun = false;     // its first chunk was sent
    std::string finish;     // empty: it goes on
  };

  bool chat() const { return ask_.endpoint == Endpoint::kChat; }
  size_t prompt_index(size_t choice) const { return choice / static_cast<size_t>(ask_.choices); }
  nlohmann::json head(std::string_view object) const;
  nlohmann::json usage() const;
  nlohmann::json log_probs(size_t choice, const std::vector<ToldToken>& tokens, bool with_prompt, size_t offset) const;
  void tell(size_t choice, Told told, std::vector<std::string>& chunks);
  std::string chunk(size_t choice, const Told& told, const std::string& finish, size_t offset);

  Ask ask_;
  std::vector<TokenPrompt> prompts_;
  const model::Tokenizer& tokenizer_;
  std::string id_;
  int64_t created_;
  std::string model_;
  int64_t cached_tokens_ = 0;  // of all prompts
  std::vector<Choice> choices_;
};

}  // namespace vortex::serve
