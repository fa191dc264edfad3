#include "core/model/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/model/jinja/text.h"
#include "core/model/unicode.h"

namespace vortex::model::jinja {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Line breaks of any kind become one "\n", and one at the very end goes.
std::string normalized(std::string_view source) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') { continue; }
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) { text.pop_back(); }
  return text;
}

constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

// The characters of a string literal between its quotes, escapes read as Python reads them.
Result<std::string> unescape(std::string_view text, int line) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    constexpr std::string_view kLetters = "abfnrtv\\'\"";
    constexpr std::string_view kMeant = "\a\b\f\n\r\t\v\\'\"";
    const size_t simple = kLetters.find(c);
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == '\n') { continue; }
    if (simple != std::string_view::npos) {
      out += kMeant[simple];
    } else if (digits > 0 || (c >= '0' && c <= '7')) {
      const size_t begin = digits > 0 ? i + 1 : i;
      size_t size = digits;
      if (digits == 0) {
        while (size < 3 && begin + size < text.size() && text[begin + size] >= '0' && text[begin + size] <= '7') {
          ++size;
        }
      }
      unsigned code = 0;
      const char* end = text.data() + std::min(begin + size, text.size());
      const auto [stop, error] = std::from_chars(text.data() + begin, end, code, digits > 0 ? 16 : 8);
      if (begin + size > text.size() || stop != end || error != std::errc() || code > 0x10ffff ||
          (code >= 0xd800 && code < 0xe000)) {
        return error_at(line, "a string's escape \\" + std::string(1, c) + " is no character");
      }
      append_utf8(code, out);
      i = begin + size - 1;
    } else if (c == 'N') {
      return error_at(line, "the escape \\N in a string is not supported");
    } else {  // no escape: both stay
      out += '\\';
      out += c;
    }
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)), rest_(source_) {}

  Result<std::vector<Token>> run() {
    while (!rest_.empty()) { VORTEX_TRY(read_text()); }
    add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void skip(size_t size) {
    const std::string_view gone = rest_.substr(0, size);
    line_ += static_cast<int>(std::count(gone.begin(), gone.end(), '\n'));
    if (!gone.empty()) { at_line_start_ = gone.back() == '\n'; }
    rest_.remove_prefix(gone.size());
  }
  void skip_space() { skip(rest_.size() - strip(rest_, std::nullopt, true, false).size()); }

  // Where a tag, an output or a comment begins.
  static size_t find_begin(std::string_view text) {
    for (size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
      if (at + 1 < text.size() && std::string_view("{%#").find(text[at + 1]) != std::string_view::npos) { return at; }
    }
    return text.size();
  }

  // What is left of a text in front of a tag: "-" takes all white space away, a tag at the start of a line its
  // indentation.
  std::string before_tag(std::string_view text, char sign, bool is_output) const {
    if (sign == '-') { return std::string(strip(text, std::nullopt, false, true)); }
    if (sign == '+' || is_output) { return std::string(text); }
    const size_t line = text.rfind('\n') + 1;  // 0 where there is none
    if (line == 0 && !at_line_start_) { return std::string(text); }
    const bool blank = strip(text.substr(line), std::nullopt, true, true).empty();
    return std::string(blank ? text.substr(0, line) : text);
  }

  Status read_text() {
    const size_t begin = find_begin(rest_);
    if (begin == rest_.size()) {
      add(TokenKind::kText, std::string(rest_));
      skip(rest_.size());
      return ok_status();
    }
    const char kind = rest_[begin + 1];
    const char sign = begin + 2 < rest_.size() ? rest_[begin + 2] : '\0';
    std::string text = before_tag(rest_.substr(0, begin), sign, kind == '{');
    if (!text.empty()) { add(TokenKind::kText, std::move(text)); }
    skip(begin + (sign == '-' || sign == '+' ? 3 : 2));
    if (kind == '#') { return skip_comment(); }
    if (kind == '%' && starts_raw()) { return read_raw(); }
    add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kTagBegin, {});
    return read_expression(kind == '{' ? "}}" : "%}");
  }

  // Behind the end of a tag or comment: the white space that it takes along.
  void finish_tag(char sign, bool is_output) {
    if (sign == '-') { return skip_space(); }
    if (sign != '+' && !is_output && rest_.starts_with('\n')) { skip(1); }
  }

  Status skip_comment() {
    const size_t end = rest_.find("#}");
    if (end == std::string_view::npos) { return error_at(line_, "a comment is not closed"); }
    const char sign = end > 0 ? rest_[end - 1] : '\0';
    skip(end + 2);
    finish_tag(sign, false);
    return ok_status();
  }

  bool starts_raw() const {
    const std::string_view tag = strip(rest_, std::nullopt, true, false);
    if (!tag.starts_with("raw")) { return false; }
    const std::string_view behind = strip(tag.substr(3), std::nullopt, true, false);
    return behind.starts_with("%}") || behind.starts_with("-%}");
  }

  Status read_raw() {
    const int line = line_;
    const size_t open = rest_.find("%}");
    const char sign = rest_[open - 1];
    skip(open + 2);
    if (sign == '-') { skip_space(); }
    for (size_t at = rest_.find("{%"); at != std::string_view::npos; at = rest_.find("{%", at + 1)) {
      std::string_view tag = rest_.substr(at + 2);
      const char begin_sign = tag.empty() ? '\0' : tag[0];
      if (begin_sign == '-' || begin_sign == '+') { tag.remove_prefix(1); }
      tag = strip(tag, std::nullopt, true, false);
      if (!tag.starts_with("endraw")) { continue; }
      tag = strip(tag.substr(6), std::nullopt, true, false);
      const char end_sign = tag.empty() ? '\0' : tag[0];
      if (end_sign == '-' || end_sign == '+') { tag.remove_prefix(1); }
      if (!tag.starts_with("%}")) { continue; }
      add(TokenKind::kText, before_tag(rest_.substr(0, at), begin_sign, false));
      skip(rest_.size() - tag.size() + 2);
      finish_tag(end_sign, false);
      return ok_status();
    }
    return error_at(line, "a raw block is not closed");
  }

  // Tokens up to the end of a tag.
  Status read_expression(std::string_view end) {
    std::string open;  // brackets that are not closed yet
    while (true) {
      while (!rest_.empty() && is_space(rest_[0])) { skip(1); }
      if (rest_.empty()) { return error_at(line_, "a tag is not closed"); }
      const bool signed_end = (rest_[0] == '-' || (rest_[0] == '+' && end == "%}")) && rest_.substr(1).starts_with(end);
      if (open.empty() && (signed_end || rest_.starts_with(end))) {
        const char sign = signed_end ? rest_[0] : '\0';
        add(end == "}}" ? TokenKind::kOutputEnd : TokenKind::kTagEnd, {});
        skip(signed_end ? 3 : 2);
        finish_tag(sign, end == "}}");
        return ok_status();
      }
      VORTEX_TRY(read_token(open));
    }
  }

  Status read_token(std::string& open) {
    const char c = rest_[0];
    if (begins_name(c)) {
      size_t size = 1;
      while (size < rest_.size() && (begins_name(rest_[size]) || is_digit(rest_[size]))) { ++size; }
      return take(TokenKind::kName, size);
    }
    if (is_digit(c)) { return read_number(); }
    if (c == '"' || c == '\'') { return read_string(c); }
    for (const std::string_view symbol : kOperators) {
      if (!rest_.starts_with(symbol)) { continue; }
      VORTEX_TRY(balance(symbol, open));
      return take(TokenKind::kOperator, symbol.size());
    }
    const size_t size = characters(rest_.substr(0, std::min<size_t>(rest_.size(), 4)))[0].size();
    return error_at(line_, "unexpected character " + std::string(rest_.substr(0, size)));
  }

  Status balance(std::string_view symbol, std::string& open) const {
    constexpr std::string_view kOpen = "([{";
    constexpr std::string_view kClose = ")]}";
    if (symbol.size() != 1) { return ok_status(); }
    if (kOpen.find(symbol[0]) != std::string_view::npos) { open += symbol; }
    const size_t close = kClose.find(symbol[0]);
    if (close == std::string_view::npos) { return ok_status(); }
    if (open.empty() || open.back() != kOpen[close]) { return error_at(line_, "unexpected " + std::string(symbol)); }
    open.pop_back();
    return ok_status();
  }

  Status take(TokenKind kind, size_t size) {
    add(kind, std::string(rest_.substr(0, size)));
    skip(size);
    return ok_status();
  }

  // Digits may be in groups, with one "_" between them.
  size_t digits_at(size_t at) const {
    const size_t begin = at;
    while (at < rest_.size() && (is_digit(rest_[at]) || (rest_[at] == '_' && at > begin && at + 1 < rest_.size() &&
                                                         is_digit(rest_[at + 1]) && is_digit(rest_[at - 1])))) {
      ++at;
    }
    return at;
  }

  Status read_number() {
    size_t at = digits_at(0);
    bool whole = true;
    if (at + 1 < rest_.size() && rest_[at] == '.' && is_digit(rest_[at + 1])) {
      at = digits_at(at + 1);
      whole = false;
    }
    if (at < rest_.size() && (rest_[at] == 'e' || rest_[at] == 'E')) {
      const size_t sign = at + 1 < rest_.size() && (rest_[at + 1] == '+' || rest_[at + 1] == '-') ? 1 : 0;
      const size_t end = digits_at(at + 1 + sign);
      if (end > at + 1 + sign) {
        at = end;
        whole = false;
      }
    }
    if (at < rest_.size() && begins_name(rest_[at])) { return error_at(line_, "a number runs into a name"); }
    std::string text(rest_.substr(0, at));
    std::erase(text, '_');
    if (whole && text.size() > 1 && text.find_first_not_of('0') != std::string::npos && text[0] == '0') {
      return error_at(line_, "the number " + text + " begins with 0");
    }
    add(whole ? TokenKind::kInteger : TokenKind::kFloat, std::move(text));
    skip(at);
    return ok_status();
  }

  Status read_string(char quote) {
    size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) { end += rest_[end] == '\\' ? size_t{2} : size_t{1}; }
    if (end >= rest_.size()) { return error_at(line_, "a string is not closed"); }
    VORTEX_ASSIGN(std::string text, unescape(rest_.substr(1, end - 1), line_));
    add(TokenKind::kString, std::move(text));
    skip(end + 1);
    return ok_status();
  }

  std::string source_;
  std::string_view rest_;
  std::vector<Token> tokens_;
  int line_ = 1;
  bool at_line_start_ = true;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  if (const auto at = find_invalid_utf8(source)) {
    return candidate_error("chat template, byte " + std::to_string(*at) + ": not UTF-8");
  }
  return Lexer(source).run();
}

Error error_at(int line, const std::string& message, const std::string& hint) {
  return candidate_error("chat template, line " + std::to_string(line) + ": " + message, hint);
}

}  // namespace vortex::model::jinja
