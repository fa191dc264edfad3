#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/engine/session.h"
#include "core/model/tokenizer.h"

namespace vortex::serve {

// A token that may be told, and the part of the text that ends with it: several tokens make one character, the first
// ones of which have no text.
struct ToldToken {
  engine::LiveToken token;
  std::string text;
};

// What may be told now. The text is that of its tokens, up to a stop.
struct Told {
  std::string text;
  std::vector<ToldToken> tokens;
};

// The text of an answer as its tokens come. Held back are characters that are not complete, and what may be the
// beginning of a stop string; tokens and text are told together, and never a part of what a stop cuts off.
class ChoiceText {
 public:
  // `first`: no text is before the answer. Stop strings are not empty. The tokenizer outlives it.
  ChoiceText(const model::Tokenizer& tokenizer, std::vector<std::string> stops, bool first);

  // After a stop nothing more is told.
  Told push(engine::LiveToken token);
  // No more tokens come: what was held back.
  Told finish();

  bool stopped() const { return stopped_; }  // at a stop string

 private:
  struct Held {
    engine::LiveToken token;
    size_t end = 0;         // of its part of text_
    bool complete = false;  // no character goes on behind it
  };

  bool cut_at_stop(Told& told);
  size_t possible_stop() const;
  Told take(size_t tokens);

  const model::Tokenizer& tokenizer_;
  std::vector<std::string> stops_;
  bool first_;
  bool stopped_ = false;
  std::string bytes_;  // of a character that is not complete
  std::string text_;   // not told yet
  std::vector<Held> held_;
};

}  // namespace vortex::serve
