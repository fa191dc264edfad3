#include "evals/grading/names.h"

#include <cctype>
#include <string_view>

#include "evals/grading/scan.h"

namespace vortex::evals {
namespace {

using K = TokenKind;

bool is_lower_letter(const Token& token) {
  return token.kind == K::kLetter && token.text.size() == 1 &&
         std::islower(static_cast<unsigned char>(token.text[0])) != 0;
}

bool is_inverse(const std::vector<Token>& tokens, size_t at, size_t end) {
  return tokens[at].is(K::kSign, "^") && joined(tokens, at + 1, script_end(tokens, at, end)) == "-1";
}

// NO/BO of the arguments of a \frac at `first`; empty where they are no names.
std::string quotient_name(const std::vector<Token>& tokens, size_t first, size_t end) {
  if (first >= end || tokens[first].kind != K::kOpen) { return {}; }
  const size_t second = tokens[first].match + 1;
  if (second >= end || tokens[second].kind != K::kOpen) { return {}; }
  const Name top = name_of(tokens, first + 1, second - 1);
  const Name bottom = name_of(tokens, second + 1, tokens[second].match);
  return top.text.empty() || bottom.text.empty() ? "" : top.text + "/" + bottom.text;
}

// Brackets, bars, primes and the commas of tuples.
bool is_part_of_a_name(const Token& token) {
  const auto is_one_of = [&](std::string_view all) {
    return token.text.size() == 1 && all.find(token.text) != std::string_view::npos;
  };
  switch (token.kind) {
    case K::kSign:
      return is_one_of(",|':");
    case K::kOpen:
    case K::kClose:
      return is_one_of("()[]{}");
    case K::kCommand:
      return token.text == "angle" || token.text == "triangle";
    default:
      return false;
  }
}

}  // namespace

Name name_of(const std::vector<Token>& tokens, size_t begin, size_t end) {
  Name name;
  bool letters = false;
  for (size_t i = begin; i < end;) {
    const Token& token = tokens[i];
    const bool applied =
        i > begin && token.is(K::kOpen, "(") && tokens[i - 1].kind == K::kLetter && !tokens[i - 1].upright;
    if (token.kind == K::kLetter || token.kind == K::kWord) {
      letters = true;
      name.descriptive = name.descriptive || token.kind == K::kWord;
      name.text += token.text;
      ++i;
    } else if (applied) {
      const bool argument = token.match == i + 2 && is_lower_letter(tokens[i + 1]);
      name.text += argument ? "()" : joined(tokens, i, token.match + 1);
      i = token.match + 1;
    } else if (token.is(K::kSign, "_") || is_inverse(tokens, i, end)) {
      const size_t after = script_end(tokens, i, end);
      if (after == i || after > end) { return {}; }
      name.text += token.text + joined(tokens, i + 1, after);
      i = after;
    } else if (token.is(K::kCommand, "frac")) {
      const std::string quotient = quotient_name(tokens, i + 1, end);
      if (quotient.empty()) { return {}; }
      name.text += quotient;
      letters = true;
      i = tokens[tokens[i + 1].match + 1].match + 1;
    } else if (is_part_of_a_name(token)) {
      if (token.kind == K::kSign) { name.text += token.text; }
      ++i;
    } else {
      return {};
    }
  }
  return letters ? name : Name();
}

bool may_be_same_name(const Name& a, const Name& b) {
  const auto bare = [](const std::string& text) {
    std::string letters;
    for (const char c : text) {
      if (c != '|') { letters += c; }
    }
    return letters;
  };
  return a.descriptive || b.descriptive || bare(a.text) == bare(b.text);
}

std::string base_of(const std::string& name) { return name.substr(0, name.find('_')); }

}  // namespace vortex::evals
