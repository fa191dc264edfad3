#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine/session.h"
#include "core/model/tokenizer.h"

namespace vortex::serve {

// A token with what the model said of it.
struct ScoredToken {
  int32_t id = 0;
  std::string text;               // its part of the answer, as ChoiceText tells it
  std::optional<float> log_prob;  // none: a prompt's first one, which nothing predicts
  std::vector<engine::TokenProb> top;
};

// As /v1/chat/completions tells them: {"content": [{token, logprob, bytes, top_logprobs}]}. The bytes of a token are
// told, too, as it may be a part of a character.
nlohmann::json chat_log_probs(const model::Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens);

// As /v1/completions tells them: {tokens, token_logprobs, top_logprobs, text_offset}. `offset`: characters of the text
// that come before. The chosen token is among the top ones. A part of a character is written as OpenAI's API does:
// "bytes:\xf0\x9f".
nlohmann::json completion_log_probs(const model::Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens,
                                    size_t offset);

// Code points of UTF-8.
size_t count_characters(std::string_view text);

}  // namespace vortex::serve
