#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/model/tokenizer.h"
#include "job/generation.h"

namespace vortex::cli {

// What follows a prompt, as it comes.
class Continuation {
 public:
  explicit Continuation(const model::Tokenizer& tokenizer) : tokenizer_(&tokenizer), stream_(tokenizer, false) {}

  // Takes a token; gives the text that it completes: whole characters only, no special tokens, often nothing.
  std::string push(const job::NewToken& token);

  const std::vector<int32_t>& ids() const { return ids_; }  // the stop token included
  const std::string& text() const { return text_; }
  job::TokenEnd end() const { return end_; }

  // The token at `index` as text; parts of characters show as U+FFFD, special tokens as they are spelled.
  std::string piece(size_t index) const;
  // Where in the text that token lies: [begin, end), whole characters; empty for one that leaves no text.
  std::pair<size_t, size_t> place(size_t index) const;

 private:
  const model::Tokenizer* tokenizer_;
  model::TextStream stream_;
  std::vector<int32_t> ids_;
  std::vector<size_t> sizes_;  // of the text when each token had come
  std::string text_;
  job::TokenEnd end_ = job::TokenEnd::kGoesOn;
};

// Where two continuations part: the number of tokens that they share; nothing where they are the same.
std::optional<size_t> first_difference(const Continuation& one, const Continuation& other);

// {"text", "tokens", "end": "stop" or "length"; "" where it was interrupted}.
nlohmann::json to_json(const Continuation& continuation);

}  // namespace vortex::cli
