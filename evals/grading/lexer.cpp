#include "evals/grading/lexer.h"

#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "base/text.h"
#include "evals/grading/symbols.h"
#include "evals/grading/words.h"

namespace vortex::evals {
namespace {

constexpr int kMaxDepth = 30;           // of text within text
constexpr size_t kWordLetters = 4;      // from so many letters on, letters side by side are a word and no product
constexpr size_t kMaxTokens = 4000;     // enough for any answer that is read
constexpr size_t kMaxPointLetters = 5;  // \triangle ABCDE

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }

bool all_letters(std::string_view text) {
  for (const char c : text) {
    if (!is_letter(c)) { return false; }
  }
  return !text.empty();
}

bool all_upper(std::string_view text) {
  for (const char c : text) {
    if (!is_upper(c)) { return false; }
  }
  return !text.empty();
}

// Names of functions and constants that may be written without a backslash.
constexpr std::array<std::pair<std::string_view, std::string_view>, 25> kPlainNames = {{
    {"sin", "sin"},   {"cos", "cos"},       {"tan", "tan"},       {"cot", "cot"},        {"sec", "sec"},
    {"csc", "csc"},   {"arcsin", "arcsin"}, {"arccos", "arccos"}, {"arctan", "arctan"},  {"sinh", "sinh"},
    {"cosh", "cosh"}, {"tanh", "tanh"},     {"exp", "exp"},       {"ln", "ln"},          {"log", "log"},
    {"sqrt", "sqrt"}, {"pi", "pi"},         {"infty", "infty"},   {"infinity", "infty"}, {"inf", "infty"},
    {"mod", "bmod"},  {"tg", "tan"},        {"asin", "arcsin"},   {"acos", "arccos"},    {"atan", "arctan"},
}};

class Lexer {
 public:
  Lexer(std::string_view text, bool upright, bool merge_commas, int level)
      : text_(text), upright_(upright), merge_commas_(merge_commas), level_(level) {}

  std::vector<Token> run() {
    while (at_ < text_.size() && tokens_.size() < kMaxTokens && level_ < kMaxDepth) { step(); }
    return std::move(tokens_);
  }

 private:
  void emit(TokenKind kind, std::string text, bool upright = false) {
    tokens_.push_back({kind, std::move(text), upright || upright_, std::exchange(spaced_, false)});
  }
  void append(std::vector<Token> tokens) {
    if (!tokens.empty()) { tokens.front().spaced = tokens.front().spaced || std::exchange(spaced_, false); }
    for (Token& token : tokens) { tokens_.push_back(std::move(token)); }
  }
  void append_text(std::string_view text, bool upright) { append(Lexer(text, upright, false, level_ + 1).run()); }
  std::string_view rest() const { return text_.substr(at_); }

  void step() {
    const char c = text_[at_];
    if (c == ' ' || c == '~') {
      ++at_;
      spaced_ = true;
    } else if (is_digit(c) || (c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]))) {
      number();
    } else if (is_letter(c) || static_cast<unsigned char>(c) >= 0x80) {
      letters();
    } else if (c == '\\') {
      ++at_;
      command();
    } else if (c == '$') {
      ++at_;
      if (text_.substr(at_).starts_with("$")) { ++at_; }
      delimiter();
    } else {
      sign(c);
    }
  }

  // A dollar sign that delimits formulas where there are two of them; else money.
  void delimiter() {
    if (delimiters() % 2 == 0) {
      upright_ = !upright_;
      spaced_ = true;
    } else {
      emit(TokenKind::kWord, "dollar", true);
    }
  }
  size_t delimiters() const {
    size_t count = 0;
    for (size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == '\\') {
        ++i;
      } else if (text_[i] == '$') {
        ++count;
        if (i + 1 < text_.size() && text_[i + 1] == '$') { ++i; }
      }
    }
    return count;
  }

  void sign(char c) {
    ++at_;
    if (c == '(' || c == '[' || c == '{') {
      depth_ += c == '{' ? 0 : 1;
      return emit(TokenKind::kOpen, std::string(1, c));
    }
    if (c == ')' || c == ']' || c == '}') {
      depth_ -= c == '}' ? 0 : 1;
      return emit(TokenKind::kClose, std::string(1, c));
    }
    const char next = at_ < text_.size() ? text_[at_] : '\0';
    if (next == '=' && (c == '<' || c == '>' || c == '!')) {
      ++at_;
      return emit(TokenKind::kCommand, c == '<' ? "le" : c == '>' ? "ge" : "ne");
    }
    if (c == '*' && next == '*') {
      ++at_;
      return emit(TokenKind::kSign, "^");
    }
    if (c == '.') { return full_stop(); }
    if (c == '%') { return emit(TokenKind::kWord, "percent", true); }
    if (c == '`' || c == '"') { return; }
    emit(TokenKind::kSign, std::string(1, c));
  }

  // The full stop of an abbreviation says nothing; three are an ellipsis.
  void full_stop() {
    if (rest().starts_with("..")) {
      at_ += 2;
      return emit(TokenKind::kCommand, "ldots");
    }
    const bool abbreviates = !tokens_.empty() && tokens_.back().kind == TokenKind::kWord;
    if (!abbreviates) { emit(TokenKind::kSign, "."); }
  }

  // --- numbers

  size_t digits_at(size_t from) const {
    size_t end = from;
    while (end < text_.size() && is_digit(text_[end])) { ++end; }
    return end - from;
  }

  // The length of what may stand between groups of three digits, at `from`; 0 where nothing does.
  size_t separator_at(size_t from) const {
    const std::string_view here = text_.substr(from);
    for (const std::string_view form :
         {"{,}", "{, }", " {, }", " {,}", "{ , }", " { , }", ",\\!", ",\\! ", "\\,", "\\ ", " \\,", "\\, ", "~", " "}) {
      if (here.starts_with(form) && digits_at(from + form.size()) == 3) { return form.size(); }
    }
    return merge_commas_ && depth_ == 0 && here.starts_with(",") && digits_at(from + 1) == 3 ? 1 : 0;
  }

  // Digits, those of further groups of three included.
  std::string whole_part() {
    const size_t first = digits_at(at_);
    std::string digits(text_.substr(at_, first));
    const char before = at_ > 0 ? text_[at_ - 1] : ' ';
    at_ += first;
    if (first == 0 || first > 3 || digits[0] == '0' || before == '^' || before == '_' || before == '.') {
      return digits;
    }
    const size_t length = separator_at(at_);
    const std::string separator(text_.substr(at_, length));
    while (length > 0 && separator_at(at_) == length && text_.substr(at_, length) == separator) {
      digits += text_.substr(at_ + length, 3);
      at_ += length + 3;
    }
    return digits;
  }

  void number() {
    std::string digits = whole_part();
    if (at_ < text_.size() && text_[at_] == '.' && !rest().starts_with("..")) {
      const size_t places = digits_at(at_ + 1);
      if (places > 0 || !digits.empty()) { digits += text_.substr(at_, places + 1); }
      at_ += places + 1;
      digits += repeated();
      if (digits.ends_with('.')) { digits.pop_back(); }
    }
    emit(TokenKind::kNumber, std::move(digits));
    exponent();
  }

  // Digits below a bar or a dot, behind the decimal point.
  std::string repeated() {
    for (const std::string_view over : {"\\overline{", "\\bar{", "\\dot{", "\\overline "}) {
      if (!rest().starts_with(over)) { continue; }
      const size_t begin = at_ + over.size();
      const size_t count = digits_at(begin);
      const bool braces = over.back() == '{';
      if (count == 0 || (braces && (begin + count >= text_.size() || text_[begin + count] != '}'))) { continue; }
      at_ = begin + count + (braces ? 1 : 0);
      return "(" + std::string(text_.substr(begin, count)) + ")";
    }
    return {};
  }

  // 1.5e3, outside formulas with their products e and 3.
  void exponent() {
    const std::string_view here = rest();
    if (here.size() < 2 || (here[0] != 'e' && here[0] != 'E')) { return; }
    const size_t sign = here[1] == '-' || here[1] == '+' ? 1 : 0;
    const size_t count = digits_at(at_ + 1 + sign);
    if (count == 0) { return; }
    emit(TokenKind::kCommand, "times");
    emit(TokenKind::kNumber, "10");
    emit(TokenKind::kSign, "^");
    const std::string_view power = text_.substr(at_ + 1 + sign, count);
    emit(TokenKind::kOpen, "{");
    if (sign != 0 && here[1] == '-') { emit(TokenKind::kSign, "-"); }
    emit(TokenKind::kNumber, std::string(power));
    emit(TokenKind::kClose, "}");
    at_ += 1 + sign + count;
  }

  // --- letters

  bool behind_a_number() const {
    return !tokens_.empty() && (tokens_.back().kind == TokenKind::kNumber || tokens_.back().kind == TokenKind::kClose);
  }

  void letters() {
    size_t end = at_;
    while (end < text_.size() && (is_letter(text_[end]) || static_cast<unsigned char>(text_[end]) >= 0x80)) { ++end; }
    std::string run(text_.substr(at_, end - at_));
    for (const std::string_view daytime : {"p.m", "a.m", "P.M", "A.M"}) {
      if (!rest().starts_with(daytime)) { continue; }
      end = at_ + 3;
      run = lower_ascii(std::string(1, daytime.front()) + "m");
      at_ = end;
      return emit(TokenKind::kWord, run, true);
    }
    at_ = end;
    if (upright_) { return word(run); }
    plain(run);
  }

  // Letters that are set as words.
  void word(const std::string& run) {
    const bool letter = run.size() == 1;
    emit(letter ? TokenKind::kLetter : TokenKind::kWord, run, true);
  }

  bool is_word(const std::string& run) const {
    const std::string lower = lower_ascii(run);
    if (behind_a_number() && (lower == "am" || lower == "pm")) { return true; }
    if (all_upper(run) && run.size() <= kMaxPointLetters) { return false; }  // AB, or a product
    if (run.size() >= kWordLetters || is_short_word(run)) { return true; }
    return run.size() > 1 && behind_a_number() && unit_of(run, false).has_value();
  }

  // Letters within a formula or outside of all: a function, a word, or a product of variables.
  void plain(const std::string& run) {
    for (const auto& [name, means] : kPlainNames) {
      if (lower_ascii(run) == name && !all_upper(run)) { return emit(TokenKind::kCommand, std::string(means)); }
    }
    for (const std::string_view joint : {"or", "and"}) {  // (1,2)orW
      if (run.starts_with(joint) && run.size() == joint.size() + 1 && behind_a_number()) {
        emit(TokenKind::kWord, std::string(joint));
        return emit(TokenKind::kLetter, run.substr(joint.size()));
      }
    }
    for (const auto& [name, means] : kPlainNames) {  // sinx
      if (name.size() == 3 && run.size() == 4 && run.starts_with(name) && name != "inf") {
        emit(TokenKind::kCommand, std::string(means));
        return emit(TokenKind::kLetter, run.substr(3));
      }
    }
    if (is_word(run) || !all_letters(run)) { return emit(TokenKind::kWord, run); }
    for (const char c : run) { emit(TokenKind::kLetter, std::string(1, c)); }
  }

  // --- commands

  // What stands in the braces at at_, behind white space; a single character where there are none.
  std::string_view argument() {
    while (at_ < text_.size() && text_[at_] == ' ') { ++at_; }
    if (at_ == text_.size()) { return {}; }
    if (text_[at_] != '{') {
      const size_t begin = at_++;
      if (text_[begin] == '\\') {
        while (at_ < text_.size() && is_letter(text_[at_])) { ++at_; }
      }
      return text_.substr(begin, at_ - begin);
    }
    int depth = 0;
    for (size_t i = at_; i < text_.size(); ++i) {
      if (text_[i] == '\\') {
        ++i;
      } else if (text_[i] == '{') {
        ++depth;
      } else if (text_[i] == '}' && --depth == 0) {
        const std::string_view inside = text_.substr(at_ + 1, i - at_ - 1);
        at_ = i + 1;
        return inside;
      }
    }
    at_ = text_.size();
    emit(TokenKind::kClose, "nothing");  // no bracket has such a half
    return {};
  }

  // What stands in the brackets at at_, if there are any.
  void skip_optional() {
    if (at_ >= text_.size() || text_[at_] != '[') { return; }
    const size_t close = text_.find(']', at_);
    if (close != std::string_view::npos) { at_ = close + 1; }
  }

  void command() {
    if (at_ >= text_.size()) { return; }
    size_t end = at_ + 1;
    while (is_letter(text_[at_]) && end < text_.size() && is_letter(text_[end])) { ++end; }
    std::string name(text_.substr(at_, end - at_));
    at_ = end;
    if (name == "\\" && is_escaped_twice()) { return command(); }
    if (name == "\\") {
      skip_optional();
      return emit(TokenKind::kSign, "\\");
    }
    if (name == "{" || name == "}") {
      depth_ += name == "{" ? 1 : -1;
      return emit(name == "{" ? TokenKind::kOpen : TokenKind::kClose, "set");
    }
    if (name == "$") { return emit(TokenKind::kWord, "dollar", true); }
    if (name == "%") { return emit(TokenKind::kWord, "percent", true); }
    if (name == "|") { return emit(TokenKind::kSign, "|"); }
    if (name == "(" || name == "[" || name == ")" || name == "]") {
      upright_ = mixed_ && (name == ")" || name == "]");
      spaced_ = true;
      return;
    }
    named(name);
  }

  // \\frac for \frac, in an answer that went through a program; no row of a matrix begins so.
  bool is_escaped_twice() const {
    size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) { ++end; }
    const std::string_view name = text_.substr(at_, end - at_);
    return !name.empty() && text_.find("\\begin") == std::string_view::npos &&
           command_of(name).kind != CommandKind::kUnknown;
  }

  void named(const std::string& name) {
    for (const std::string_view space : {"qquad", "quad"}) {  // \quadx
      if (!name.starts_with(space) || name == space) { continue; }
      spaced_ = true;
      at_ -= name.size() - space.size();
      return;
    }
    if ((name == "left" || name == "right") && at_ < text_.size() && text_[at_] == '.') { ++at_; }
    if (name == "begin" || name == "end") { return environment(name == "begin"); }
    for (const std::string_view bracket : {"floor", "ceil", "angle"}) {
      const std::string_view side = name;
      const bool matches = side.size() == bracket.size() + 1 && side.substr(1) == bracket;
      if (matches && side[0] == 'l') { return emit(TokenKind::kOpen, std::string(bracket)); }
      if (matches && side[0] == 'r') { return emit(TokenKind::kClose, std::string(bracket)); }
    }
    if (name == "langle" || name == "rangle") {
      return emit(name[0] == 'l' ? TokenKind::kOpen : TokenKind::kClose, "angle");
    }
    const Command command = command_of(name);
    switch (command.kind) {
      case CommandKind::kIgnored:
        break;
      case CommandKind::kSpace:
        spaced_ = true;
        break;
      case CommandKind::kSkipped:
        argument();
        break;
      case CommandKind::kColored:
        argument();
        [[fallthrough]];
      case CommandKind::kWrapper:
        wrapped(argument());
        break;
      case CommandKind::kText:
        append_text(argument(), true);
        break;
      case CommandKind::kUpright:
        font(command.means, std::string(argument()));
        break;
      case CommandKind::kAccent:
        accent(std::string(argument()));
        break;
      case CommandKind::kReplaced:
        append_text(command.means, false);
        break;
      case CommandKind::kMeaningful:
        meaningful(command.means);
        break;
      case CommandKind::kGreek:
        emit(TokenKind::kLetter, name);
        break;
      case CommandKind::kUnknown:
        emit(TokenKind::kCommand, "\\" + name);
        break;
    }
  }

  // The arguments of \frac12 and \sqrt2 are single digits.
  void meaningful(std::string_view means) {
    emit(TokenKind::kCommand, std::string(means));
    const int arguments = means == "frac" || means == "binom" ? 2 : means == "sqrt" ? 1 : 0;
    for (int i = 0; i < arguments; ++i) {
      while (at_ < text_.size() && text_[at_] == ' ') { ++at_; }
      if (at_ >= text_.size() || (text_[at_] != '{' && !is_digit(text_[at_]))) { return; }
      const bool braces = text_[at_] == '{';
      const std::string_view inside = argument();
      if (!braces) {
        emit(TokenKind::kNumber, std::string(inside));
        continue;
      }
      emit(TokenKind::kOpen, "{");
      append(Lexer(inside, false, merge_commas_ && depth_ == 0, level_ + 1).run());
      emit(TokenKind::kClose, "}");
    }
  }

  void wrapped(std::string_view inside) {
    emit(TokenKind::kOpen, "{");
    append_text(inside, upright_);
    emit(TokenKind::kClose, "}");
  }

  void font(std::string_view font, const std::string& inside) {
    if (!all_letters(inside)) { return append_text(inside, upright_); }
    if (font == "mathbb") {
      if (inside == "R") { return emit(TokenKind::kCommand, "reals"); }
      return emit(TokenKind::kWord, "set " + inside, true);
    }
    if (inside.size() == 1) { return emit(TokenKind::kLetter, inside, font == "mathrm" || upright_); }
    const Command command = command_of(inside);
    if (command.kind == CommandKind::kMeaningful) { return emit(TokenKind::kCommand, std::string(command.means)); }
    emit(TokenKind::kWord, inside, true);
  }

  // \overline{AB} is the segment AB; \bar{x} is another variable than x.
  void accent(const std::string& inside) {
    if (all_upper(inside) && inside.size() > 1) { return append_text(inside, upright_); }
    emit(TokenKind::kLetter, "bar " + inside);
  }

  void environment(bool begins) {
    const std::string_view name = argument();
    if (name == "array" && begins) { argument(); }
    std::string kind = "environment";
    for (const std::string_view matrix : {"pmatrix", "bmatrix", "Bmatrix", "matrix", "smallmatrix", "array"}) {
      if (name == matrix) { kind = "matrix"; }
    }
    if (name == "vmatrix" || name == "Vmatrix") { kind = "determinant"; }
    emit(begins ? TokenKind::kOpen : TokenKind::kClose, kind);
  }

 public:
  // Where formulas are delimited, what stands outside of them is words.
  void expect_formulas() {
    const bool dollars = delimiters() > 0 && delimiters() % 2 == 0;
    mixed_ = dollars || text_.find("\\(") != std::string_view::npos || text_.find("\\[") != std::string_view::npos;
    upright_ = mixed_;
  }

 private:
  std::string_view text_;
  bool upright_;
  bool merge_commas_;
  int level_;
  bool mixed_ = false;
  bool spaced_ = false;
  int depth_ = 0;  // of brackets other than plain braces
  size_t at_ = 0;
  std::vector<Token> tokens_;
};

// Finds the other half of every bracket; ( may be closed by ] and the like.
bool match_brackets(std::vector<Token>& tokens) {
  std::vector<size_t> open;
  const auto fits = [](const std::string& a, const std::string& b) {
    const auto round = [](const std::string& bracket) {
      return bracket == "(" || bracket == "[" || bracket == ")" || bracket == "]";
    };
    return round(a) ? round(b) : a == "{" ? b == "}" : a == b;
  };
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].kind == TokenKind::kOpen) { open.push_back(i); }
    if (tokens[i].kind != TokenKind::kClose) { continue; }
    if (open.empty() || !fits(tokens[open.back()].text, tokens[i].text)) { return false; }
    tokens[i].match = open.back();
    tokens[open.back()].match = i;
    open.pop_back();
  }
  return open.empty();
}

// "C) 8" is "(C) 8".
void complete_choice(std::vector<Token>& tokens) {
  const bool choice = tokens.size() > 1 && tokens[0].kind == TokenKind::kLetter && tokens[0].text.size() == 1 &&
                      is_upper(tokens[0].text[0]) && tokens[1].is(TokenKind::kClose, ")");
  if (choice) { tokens.insert(tokens.begin(), Token{TokenKind::kOpen, "("}); }
}

}  // namespace

Lexed lex(std::string_view text, bool merge_commas) {
  if (text.size() > 4 && text.starts_with("**") && text.ends_with("**")) { text = text.substr(2, text.size() - 4); }
  const std::string plain = with_ascii_symbols(text);
  Lexer lexer(plain, false, merge_commas, 0);
  lexer.expect_formulas();
  Lexed lexed{lexer.run()};
  const auto is_tail = [](const Token& token) {
    return token.kind == TokenKind::kSign && (token.text == "." || token.text == "," || token.text == ";");
  };
  while (!lexed.tokens.empty() && is_tail(lexed.tokens.back())) { lexed.tokens.pop_back(); }
  complete_choice(lexed.tokens);
  lexed.balanced = match_brackets(lexed.tokens);
  return lexed;
}

}  // namespace vortex::evals
