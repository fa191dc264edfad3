#include "core/vflow/syntax/lexer.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace vortex::vflow {
namespace {

constexpr std::array<std::string_view, 35> kKeywords = {
    "False", "None",     "True",  "and",    "as",   "assert", "async",  "await",    "break",
    "class", "continue", "def",   "del",    "elif", "else",   "except", "finally",  "for",
    "from",  "global",   "if",    "import", "in",   "is",     "lambda", "nonlocal", "not",
    "or",    "pass",     "raise", "return", "try",  "while",  "with",   "yield"};

// Words that open a statement and can stand nowhere inside an expression: a line that starts with one shows that a
// bracket above was never closed.
constexpr std::array<std::string_view, 8> kStatementWords = {"def",    "class", "return", "import",
                                                             "assert", "pass",  "raise",  "while"};

// Longest first.
constexpr std::array<std::string_view, 47> kSymbols = {
    "**=", "//=", ">>=", "<<=", "...", "**", "//", "==", "!=", "<=", ">=", "->", ":=", "+=", "-=", "*=",
    "/=",  "%=",  "&=",  "|=",  "^=",  "@=", "<<", ">>", "(",  ")",  "[",  "]",  "{",  "}",  ",",  ":",
    ".",   ";",   "=",   "+",   "-",   "*",  "/",  "%",  "<",  ">",  "@",  "~",  "&",  "|",  "^"};

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }
// Letters outside ASCII are read as part of a name, so that one finding covers the whole name.
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || !is_ascii(c); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }

class Lexer {
 public:
  Lexer(Reporter& reporter, Span span, bool expression)
      : reporter_(reporter),
        text_(reporter.source().text().substr(0, span.end)),
        at_(span.begin),
        expression_(expression) {}

  TokenList run() {
    tokens_.reserve((text_.size() - at_) / 4 + 8);
    bool line_start = !expression_;
    if (text_.substr(at_).starts_with("\xEF\xBB\xBF")) { at_ += 3; }
    while (true) {
      if (line_start && !begin_line()) { break; }
      line_start = false;
      skip_blanks();
      if (at_ >= text_.size()) { break; }
      if (text_[at_] == '\n') {
        line_start = end_line();
      } else {
        lex_token();
      }
    }
    finish();
    return {std::move(tokens_), std::move(errors_)};
  }

 private:
  struct Bracket {
    char symbol;
    Span span;
  };

  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void emit(TokenKind kind, size_t begin) {
    const Span span{static_cast<uint32_t>(begin), static_cast<uint32_t>(at_)};
    tokens_.push_back({kind, span, text_.substr(begin, at_ - begin)});
  }
  Span span_of(size_t begin, size_t end) const {
    return {static_cast<uint32_t>(begin), static_cast<uint32_t>(std::min(end, text_.size()))};
  }

  void report(Span span, Finding finding) {
    errors_.push_back(span.begin);
    reporter_.error(span, std::move(finding));
  }

  // Blanks, comments and joined lines ("\" at the end of a line).
  void skip_blanks() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
        ++at_;
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '\\' && (peek(1) == '\n' || (peek(1) == '\r' && peek(2) == '\n'))) {
        at_ += peek(1) == '\n' ? 2U : 3U;
      } else {
        break;
      }
    }
  }

  // Measures the margin of a line and emits INDENT or DEDENTs. Blank lines have no margin. False at the end.
  bool begin_line() {
    while (at_ < text_.size()) {
      const size_t start = at_;
      int width = 0;
      while (peek() == ' ' || peek() == '\t' || peek() == '\f') {
        width = peek() == '\t' ? (width / 8 + 1) * 8 : width + 1;
        ++at_;
      }
      const bool blank = peek() == '\n' || peek() == '#' || (peek() == '\r' && peek(1) == '\n');
      if (at_ >= text_.size()) { return false; }
      if (!blank) {
        set_margin(width, start);
        return true;
      }
      at_ = text_.find('\n', at_);
      if (at_ == std::string_view::npos) {
        at_ = text_.size();
        return false;
      }
      ++at_;
    }
    return false;
  }

  void set_margin(int width, size_t start) {
    if (width > margins_.back()) {
      margins_.push_back(width);
      emit(TokenKind::kIndent, start);
      return;
    }
    while (width < margins_.back()) {
      if (width > margins_[margins_.size() - 2]) {
        report(span_of(start, at_), {"bad-indentation", "this line's indentation matches no enclosing block",
                                     "the same indentation as the other lines of its block"});
        margins_.back() = width;
        return;
      }
      margins_.pop_back();
      emit(TokenKind::kDedent, at_);
    }
  }

  // Inside brackets a line break is a blank, unless the next line shows that a bracket was forgotten.
  // True when a new logical line begins.
  bool end_line() {
    if (expression_ || (!brackets_.empty() && !statement_follows())) {
      ++at_;
      return false;
    }
    report_open_brackets();
    ++at_;
    emit(TokenKind::kNewline, at_ - 1);
    return true;
  }

  bool statement_follows() const {
    size_t i = at_ + 1;
    while (i < text_.size() && (text_[i] == ' ' || text_[i] == '\t')) { ++i; }
    size_t end = i;
    while (end < text_.size() && is_name_char(text_[end])) { ++end; }
    const std::string_view word = text_.substr(i, end - i);
    return std::find(kStatementWords.begin(), kStatementWords.end(), word) != kStatementWords.end();
  }

  void report_open_brackets() {
    if (!brackets_.empty()) {
      report(brackets_.back().span,
             {"unclosed-bracket", std::string("\"") + brackets_.back().symbol + "\" is never closed"});
    }
    brackets_.clear();
  }

  void lex_token() {
    const char c = text_[at_];
    if (is_name_start(c)) {
      lex_name();
    } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
      lex_number();
    } else if (c == '"' || c == '\'') {
      lex_string(at_);
    } else {
      lex_symbol();
    }
  }

  void lex_name() {
    const size_t begin = at_;
    while (is_name_char(peek())) { ++at_; }
    const std::string_view word = text_.substr(begin, at_ - begin);
    const bool string_prefix = word.size() <= 2 && word.find_first_not_of("rRbBfFuU") == std::string_view::npos;
    if (string_prefix && (peek() == '"' || peek() == '\'')) {
      lex_string(begin);
      return;
    }
    if (!std::all_of(word.begin(), word.end(), is_ascii)) {
      report(span_of(begin, at_), {"bad-character", "\"" + std::string(word.substr(0, 80)) + "\" cannot be a name",
                                   "letters outside ASCII only in comments and strings"});
    }
    emit(TokenKind::kName, begin);
  }

  void skip_digits() {
    while (is_digit(peek()) || (peek() == '_' && is_digit(peek(1)))) { ++at_; }
  }

  void lex_number() {
    const size_t begin = at_;
    TokenKind kind = TokenKind::kInteger;
    const char radix = static_cast<char>(peek(1) | 0x20);
    if (peek() == '0' && (radix == 'x' || radix == 'o' || radix == 'b')) {
      at_ += 2;
      while (is_name_char(peek())) { ++at_; }
      emit(kind, begin);
      return;
    }
    skip_digits();
    if (peek() == '.') {
      kind = TokenKind::kFloat;
      ++at_;
      skip_digits();
    }
    const bool sign = peek(1) == '+' || peek(1) == '-';
    if ((peek() | 0x20) == 'e' && is_digit(peek(sign ? 2U : 1U))) {
      kind = TokenKind::kFloat;
      at_ += sign ? 2U : 1U;
      skip_digits();
    }
    if (is_name_char(peek())) {
      while (is_name_char(peek())) { ++at_; }
      report(span_of(begin, at_),
             {"bad-number", "\"" + std::string(text_.substr(begin, at_ - begin)) + "\" is not a number",
              "whole numbers (16, 1_000, 0x10) and decimals (0.5, 1e-6)"});
    }
    emit(kind, begin);
  }

  void lex_string(size_t begin) {
    const char quote = text_[at_];
    const bool triple = peek(1) == quote && peek(2) == quote;
    at_ += triple ? 3U : 1U;
    while (at_ < text_.size()) {
      if (text_[at_] == '\\') {
        at_ += 2;
      } else if (!triple && text_[at_] == '\n') {
        break;
      } else if (text_[at_] == quote && (!triple || (peek(1) == quote && peek(2) == quote))) {
        at_ += triple ? 3U : 1U;
        emit(TokenKind::kString, begin);
        return;
      } else {
        ++at_;
      }
    }
    at_ = std::min(at_, text_.size());
    report(span_of(begin, begin + 1), {"unclosed-string", "this string is never closed"});
    // Stands in for the string, so that the statement around it still parses. Brackets that would have been closed
    // behind its quote are no finding of their own.
    tokens_.push_back({TokenKind::kString, span_of(begin, at_), "''"});
    brackets_.clear();
  }

  void lex_symbol() {
    const size_t begin = at_;
    const std::string_view rest = text_.substr(at_);
    const auto symbol = std::find_if(kSymbols.begin(), kSymbols.end(), [&](std::string_view known) {
      return known.front() == rest.front() && rest.starts_with(known);
    });
    if (symbol == kSymbols.end()) {
      skip_unknown();
      return;
    }
    at_ += symbol->size();
    const char c = (*symbol)[0];
    if (symbol->size() == 1 && (c == '(' || c == '[' || c == '{')) {
      brackets_.push_back({c, span_of(begin, at_)});
    } else if (c == ')' || c == ']' || c == '}') {
      if (!close_bracket(c, begin)) { return; }
    }
    emit(TokenKind::kSymbol, begin);
  }

  bool close_bracket(char c, size_t begin) {
    const char open = c == ')' ? '(' : c == ']' ? '[' : '{';
    if (!brackets_.empty() && brackets_.back().symbol == open) {
      brackets_.pop_back();
      return true;
    }
    const std::string expected = brackets_.empty()
                                     ? "no bracket is open here"
                                     : std::string("the open bracket is \"") + brackets_.back().symbol + "\"";
    report(span_of(begin, begin + 1), {"unmatched-bracket", std::string("\"") + c + "\" closes nothing: " + expected});
    return false;
  }

  void skip_unknown() {
    const size_t begin = at_++;
    const auto byte = static_cast<unsigned char>(text_[begin]);
    const std::string shown =
        byte >= 0x20 ? std::string("\"") + text_[begin] + "\"" : "a control character (" + std::to_string(byte) + ")";
    report(span_of(begin, at_), {"bad-character", shown + " cannot stand here"});
  }

  void finish() {
    if (!expression_) {
      report_open_brackets();
      at_ = text_.size();
      if (!tokens_.empty() && tokens_.back().kind != TokenKind::kNewline) { emit(TokenKind::kNewline, at_); }
      for (; margins_.size() > 1; margins_.pop_back()) { emit(TokenKind::kDedent, at_); }
    }
    at_ = text_.size();
    emit(TokenKind::kEnd, at_);
  }

  Reporter& reporter_;
  std::string_view text_;
  size_t at_;
  bool expression_;
  std::vector<int> margins_ = {0};
  std::vector<Bracket> brackets_;
  std::vector<Token> tokens_;
  std::vector<uint32_t> errors_;
};

}  // namespace

TokenList tokenize(Reporter& reporter) {
  const Span all{0, static_cast<uint32_t>(reporter.source().text().size())};
  return Lexer(reporter, all, false).run();
}

TokenList tokenize_expression(Reporter& reporter, Span span) { return Lexer(reporter, span, true).run(); }

bool is_keyword(std::string_view name) {
  return !name.empty() && std::any_of(kKeywords.begin(), kKeywords.end(), [&](std::string_view keyword) {
    return keyword.front() == name.front() && keyword == name;
  });
}

}  // namespace vortex::vflow
