#include <charconv>
#include <utility>

#include "core/vflow/syntax/parser_impl.h"

namespace vortex::vflow {
namespace {

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0U | (code >> 6U));
    text += static_cast<char>(0x80U | (code & 0x3FU));
  } else {
    text += static_cast<char>(0xE0U | ((code >> 12U) & 0xFU));
    text += static_cast<char>(0x80U | ((code >> 6U) & 0x3FU));
    text += static_cast<char>(0x80U | (code & 0x3FU));
  }
}

}  // namespace

// Adjacent literals are one string; one f-string among them makes the whole an f-string.
Expr* Parser::parse_strings() {
  Expr* string = make_expr(ExprKind::kString, peek().span);
  const uint32_t begin = peek().span.begin;
  while (!failed_ && peek().kind == TokenKind::kString) {
    const Token token = peek();
    advance();
    add_string(string, token);
  }
  string->span = since(begin);
  return string;
}

void Parser::add_string(Expr* string, const Token& token) {
  size_t quote = token.text.find_first_of("'\"");
  bool raw = false;
  bool formatted = false;
  for (char c : token.text.substr(0, quote)) {
    raw = raw || (c | 0x20) == 'r';
    formatted = formatted || (c | 0x20) == 'f';
    if ((c | 0x20) == 'b') {
      fail(token.span, {"unsupported-syntax", "byte strings are not supported"});
      return;
    }
  }
  const std::string_view quoted = token.text.substr(quote);
  const size_t marks = quoted.size() >= 6 && quoted[1] == quoted[0] && quoted[2] == quoted[0] ? 3 : 1;
  const std::string_view body = quoted.substr(marks, quoted.size() - 2 * marks);
  const auto offset = token.span.begin + static_cast<uint32_t>(quote + marks);
  if (formatted) {
    add_fstring(string, body, offset, raw);
  } else {
    add_text(string, decode(body, raw));
  }
}

void Parser::add_text(Expr* string, std::string text) {
  if (string->kind == ExprKind::kString) {
    string->text += text;
    return;
  }
  Expr* part = make_expr(ExprKind::kString, string->span);
  part->text = std::move(text);
  string->items.push_back(part);
}

// The inside of an f-string's braces: an expression, then "!r" or "!s", then ":" and a format.
void Parser::add_replacement(Expr* string, Span span) {
  const std::string_view text = reporter_.source().at(span);
  size_t end = text.size();
  int open = 0;
  for (size_t i = 0; i < end; ++i) {
    if (text[i] == '(' || text[i] == '[' || text[i] == '{') { ++open; }
    if (text[i] == ')' || text[i] == ']' || text[i] == '}') { --open; }
    if (open == 0 && text[i] == ':') { end = i; }
  }
  const std::string_view format = text.substr(std::min(end + 1, text.size()));
  const bool conversion = end > 2 && text[end - 2] == '!' && (text[end - 1] == 'r' || text[end - 1] == 's');
  const auto length = static_cast<uint32_t>(conversion ? end - 2 : end);
  Parser inner(reporter_, module_, tokenize_expression(reporter_, {span.begin, span.begin + length}));
  Expr* value = inner.parse_whole_expression(depth_ + 1);
  failed_ = failed_ || inner.failed_;
  Expr* replacement = make_expr(ExprKind::kFormatted, span);
  replacement->items.push_back(value);
  replacement->text = format;
  string->items.push_back(replacement);
}

void Parser::add_fstring(Expr* string, std::string_view body, uint32_t offset, bool raw) {
  if (string->kind == ExprKind::kString) {
    string->kind = ExprKind::kFString;
    if (!string->text.empty()) { add_text(string, std::exchange(string->text, {})); }
  }
  size_t i = 0;
  while (i < body.size() && !failed_) {
    const size_t brace = body.find_first_of("{}", i);
    if (brace != i) { add_text(string, decode(body.substr(i, std::min(brace, body.size()) - i), raw)); }
    if (brace == std::string_view::npos) { return; }
    if (brace + 1 < body.size() && body[brace + 1] == body[brace]) {
      add_text(string, std::string(1, body[brace]));
      i = brace + 2;
      continue;
    }
    size_t end = brace + 1;
    for (int open = 1; end < body.size(); ++end) {
      if (body[end] == '{') { ++open; }
      if (body[end] == '}' && --open == 0) { break; }
    }
    if (body[brace] == '}' || end >= body.size()) {
      const auto at = offset + static_cast<uint32_t>(brace);
      fail({at, at + 1}, {"bad-fstring", "a brace of this f-string has no partner", "", "write {{ or }} for a brace"});
      return;
    }
    add_replacement(string, {offset + static_cast<uint32_t>(brace) + 1, offset + static_cast<uint32_t>(end)});
    i = end + 1;
  }
}

std::string Parser::decode(std::string_view body, bool raw) {
  std::string text;
  text.reserve(body.size());
  for (size_t i = 0; i < body.size(); ++i) {
    if (raw || body[i] != '\\' || i + 1 == body.size()) {
      text += body[i];
      continue;
    }
    const char c = body[++i];
    static constexpr std::string_view kCodes = "nrt0abfv\\'\"";
    static constexpr std::string_view kMeant = {"\n\r\t\0\a\b\f\v\\'\"", 11};
    const size_t known = kCodes.find(c);
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
    uint32_t code = 0;
    if (known != std::string_view::npos) {
      text += kMeant[known];
    } else if (c == '\n') {
      continue;
    } else if (digits > 0 && i + digits < body.size() &&
               std::from_chars(body.data() + i + 1, body.data() + i + 1 + digits, code, 16).ptr ==
                   body.data() + i + 1 + digits) {
      append_utf8(text, code);
      i += digits;
    } else {
      text += '\\';  // Python keeps the backslash of an escape it does not know
      text += c;
    }
  }
  return text;
}

}  // namespace vortex::vflow
