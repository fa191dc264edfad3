#include "serve/log_probs.h"

#include <algorithm>
#include <cmath>

#include "core/model/unicode.h"

namespace vortex::serve {
namespace {

using nlohmann::json;

// JSON has no -inf, which a token of probability 0 has; clients compare and add.
constexpr double kLowest = -9999.0;

json number(float log_prob) { return std::isfinite(log_prob) ? json(static_cast<double>(log_prob)) : json(kLowest); }

std::string bytes_of(const model::Tokenizer& tokenizer, int32_t id) { return tokenizer.piece(id, false); }

json chat_token(const model::Tokenizer& tokenizer, int32_t id, float log_prob) {
  const std::string bytes = bytes_of(tokenizer, id);
  json list = json::array();
  for (const char byte : bytes) { list.push_back(static_cast<unsigned char>(byte)); }
  return {{"token", model::repair_utf8(bytes)}, {"logprob", number(log_prob)}, {"bytes", std::move(list)}};
}

std::string spelled(const model::Tokenizer& tokenizer, int32_t id) {
  const std::string bytes = bytes_of(tokenizer, id);
  if (!model::find_invalid_utf8(bytes)) { return bytes; }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "bytes:";
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += "\\x";
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

}  // namespace

json chat_log_probs(const model::Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens) {
  json content = json::array();
  for (const ScoredToken& token : tokens) {
    json item = chat_token(tokenizer, token.id, token.log_prob.value_or(0));
    json& top = item["top_logprobs"] = json::array();
    for (const engine::TokenProb& other : token.top) {
      top.push_back(chat_token(tokenizer, other.token, other.log_prob));
    }
    content.push_back(std::move(item));
  }
  return {{"content", std::move(content)}};
}

json completion_log_probs(const model::Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens, size_t offset) {
  json result = {{"tokens", json::array()},
                 {"token_logprobs", json::array()},
                 {"top_logprobs", json::array()},
                 {"text_offset", json::array()}};
  for (const ScoredToken& token : tokens) {
    const std::string text = spelled(tokenizer, token.id);
    result["tokens"].push_back(text);
    result["text_offset"].push_back(offset);
    offset += count_characters(token.text);
    if (!token.log_prob) {
      result["token_logprobs"].push_back(nullptr);
      result["top_logprobs"].push_back(nullptr);
      continue;
    }
    result["token_logprobs"].push_back(number(*token.log_prob));
    json top = {{text, number(*token.log_prob)}};
    for (const engine::TokenProb& other : token.top) {
      top.emplace(spelled(tokenizer, other.token), number(other.log_prob));
    }
    result["top_logprobs"].push_back(std::move(top));
  }
  return result;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }));
}

}  // namespace vortex::serve
