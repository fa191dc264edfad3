#include "cli/continuation.h"

#include <algorithm>

namespace vortex::cli {

std::string Continuation::push(const job::NewToken& token) {
  ids_.push_back(token.id);
  end_ = token.end;
  // A stop token ends the text without being part of it, also where the tokenizer does not call it special.
  std::string text = end_ == job::TokenEnd::kStopToken ? "" : stream_.push(token.id);
  if (end_ != job::TokenEnd::kGoesOn) { text += stream_.finish(); }
  text_ += text;
  sizes_.push_back(text_.size());
  return text;
}

std::string Continuation::piece(size_t index) const {
  const int32_t id = ids_[index];
  // Behind a word, as most tokenizers see it, but for the first one.
  const nlohmann::json raw = tokenizer_->piece(id, index == 0);
  return nlohmann::json::parse(raw.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).get<std::string>();
}

std::pair<size_t, size_t> Continuation::place(size_t index) const {
  const size_t begin = index == 0 ? 0 : sizes_[index - 1];
  const bool leaves_no_text =
      tokenizer_->is_special(ids_[index]) || (index + 1 == ids_.size() && end_ == job::TokenEnd::kStopToken);
  if (leaves_no_text) { return {begin, begin}; }
  // A token that ends within a character has its text when the character is complete.
  for (size_t i = index; i < sizes_.size(); ++i) {
    if (sizes_[i] > begin) { return {begin, sizes_[i]}; }
  }
  return {begin, text_.size()};
}

std::optional<size_t> first_difference(const Continuation& one, const Continuation& other) {
  const auto [left, right] = std::mismatch(one.ids().begin(), one.ids().end(), other.ids().begin(), other.ids().end());
  if (left == one.ids().end() && right == other.ids().end()) { return std::nullopt; }
  return static_cast<size_t>(left - one.ids().begin());
}

nlohmann::json to_json(const Continuation& continuation) {
  std::string end;
  if (continuation.end() == job::TokenEnd::kStopToken) { end = "stop"; }
  if (continuation.end() == job::TokenEnd::kLength) { end = "length"; }
  return {{"text", continuation.text()}, {"tokens", continuation.ids()}, {"end", end}};
}

}  // namespace vortex::cli
