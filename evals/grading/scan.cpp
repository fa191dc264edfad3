#include "evals/grading/scan.h"

#include "evals/grading/decimal.h"

namespace vortex::evals {

size_t find_at_top(const std::vector<Token>& tokens, size_t begin, size_t end, TokenKind kind, std::string_view text) {
  for (size_t i = begin; i < end; ++i) {
    if (tokens[i].kind == TokenKind::kOpen) {
      i = tokens[i].match;
    } else if (tokens[i].is(kind, text)) {
      return i;
    }
  }
  return end;
}

std::string joined(const std::vector<Token>& tokens, size_t begin, size_t end) {
  std::string text;
  for (size_t i = begin; i < end; ++i) {
    if (tokens[i].text != "{" && tokens[i].text != "}") { text += tokens[i].text; }
  }
  return text;
}

size_t script_end(const std::vector<Token>& tokens, size_t at, size_t end) {
  if (at + 1 >= end || tokens[at + 1].kind == TokenKind::kClose) { return at; }
  return tokens[at + 1].kind == TokenKind::kOpen ? tokens[at + 1].match + 1 : at + 2;
}

bool are_two_numbers(const std::vector<Token>& tokens, size_t at, size_t end) {
  for (int argument = 0; argument < 2; ++argument) {
    const bool braces = at < end && tokens[at].is(TokenKind::kOpen, "{");
    at += braces ? 1 : 0;
    if (at >= end || tokens[at].kind != TokenKind::kNumber || !all_digits(tokens[at].text)) { return false; }
    at += 1;
    if (braces && (at >= end || tokens[at].kind != TokenKind::kClose)) { return false; }
    at += braces ? 1 : 0;
  }
  return true;
}

}  // namespace vortex::evals
