#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vortex::evals {

enum class TokenKind {
  kNumber,   // 12, 3.5, 0.1(6) for a decimal that repeats
  kLetter,   // a variable: x, \alpha as "alpha", \bar{x} as "bar x"
  kWord,     // letters that are a word
  kCommand,  // what a command or a sign means: "frac", "le", "infty"
  kSign,     // one character: + - * / ^ _ ! | , ; : = < > % &
  kOpen,     // ( [ { or \{ as "set", \langle as "angle", "floor", "ceil", "bars" of \|, an environment by its name
  kClose,
};

struct Token {
  TokenKind kind = TokenKind::kSign;
  std::string text;
  bool upright = false;  // set as a word: within \text{} or \mathrm{}, or outside all formulas
  bool spaced = false;   // white space stands before it
  size_t match = 0;      // of a bracket: the place of its other half

  bool is(TokenKind other, std::string_view what) const { return kind == other && text == what; }
  bool operator==(const Token& other) const { return kind == other.kind && text == other.text; }
};

struct Lexed {
  std::vector<Token> tokens;
  bool balanced = true;  // every bracket has its other half
};

// An answer in LaTeX or plain notation as tokens. Sizes, colours, fonts, spacing and the delimiters of formulas leave
// none; symbols beyond ASCII are their commands; digits in groups of three are one number, where "{,}" or a space
// stands between them, or, outside brackets and with `merge_commas`, a comma. Total: any bytes give tokens.
Lexed lex(std::string_view text, bool merge_commas);

}  // namespace vortex::evals
