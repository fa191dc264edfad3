#include "serve/choice_text.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/model/unicode.h"

namespace vortex::serve {

ChoiceText::ChoiceText(const model::Tokenizer& tokenizer, std::vector<std::string> stops, bool first)
    : tokenizer_(tokenizer), stops_(std::move(stops)), first_(first) {}

// The first tokens that are held, with their text.
Told ChoiceText::take(size_t tokens) {
  Told told;
  size_t begin = 0;
  for (size_t i = 0; i < tokens; ++i) {
    told.tokens.push_back({std::move(held_[i].token), text_.substr(begin, held_[i].end - begin)});
    begin = held_[i].end;
  }
  told.text = text_.substr(0, begin);
  text_.erase(0, begin);
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(tokens));
  for (Held& held : held_) { held.end -= begin; }
  return told;
}

// Is there a stop in what was not told yet? What was told cannot hold the beginning of one.
bool ChoiceText::cut_at_stop(Told& told) {
  size_t at = std::string::npos;
  for (const std::string& stop : stops_) { at = std::min(at, text_.find(stop)); }
  if (at == std::string::npos) { return false; }
  stopped_ = true;
  size_t tokens = 0;  // that begin before the stop
  size_t begin = 0;
  while (tokens < held_.size() && begin < at) { begin = held_[tokens++].end; }
  text_.resize(at);
  for (Held& held : held_) { held.end = std::min(held.end, at); }
  told = take(tokens);
  return true;
}

// Where the longest end of the text begins that a stop string may go on from; the text's size where there is none.
size_t ChoiceText::possible_stop() const {
  size_t begin = text_.size();
  for (const std::string& stop : stops_) {
    const std::string_view text = text_;
    for (size_t length = std::min(stop.size() - 1, text.size()); length > text.size() - begin; --length) {
      if (text.substr(text.size() - length) == std::string_view(stop).substr(0, length)) {
        begin = text.size() - length;
        break;
      }
    }
  }
  return begin;
}

Told ChoiceText::push(engine::LiveToken token) {
  if (stopped_) { return {}; }
  if (!tokenizer_.is_special(token.token)) {
    const std::string bytes = bytes_ + tokenizer_.piece(token.token, first_);
    bytes_.clear();
    text_ += model::repair_utf8(bytes, &bytes_);
    first_ = false;
  }
  held_.push_back({std::move(token), text_.size(), bytes_.empty()});
  Told told;
  if (cut_at_stop(told)) { return told; }
  const size_t safe = possible_stop();
  size_t tokens = 0;
  for (size_t i = 0; i < held_.size() && held_[i].end <= safe; ++i) {
    if (held_[i].complete) { tokens = i + 1; }
  }
  return take(tokens);
}

Told ChoiceText::finish() {
  if (stopped_) { return {}; }
  text_ += model::repair_utf8(std::exchange(bytes_, {}));
  if (!held_.empty()) { held_.back().end = text_.size(); }
  Told told;
  if (cut_at_stop(told)) { return told; }
  return take(held_.size());
}

}  // namespace vortex::serve
