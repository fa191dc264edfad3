#include "evals/grading/expression.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string>
#include <utility>

#include "base/text.h"
#include "evals/grading/decimal.h"
#include "evals/grading/scan.h"

namespace vortex::evals {
namespace {

constexpr int kMaxDepth = 40;
constexpr size_t kMaxCells = 64;  // of a matrix

Term plain(Value value) {
  Term term;
  term.value = std::move(value);
  return term;
}

// A recursive-descent evaluator of one range. `failed_` once set ends the reading.
class Evaluator {
 public:
  Evaluator(const std::vector<Token>& tokens, size_t begin, size_t end, int depth)
      : tokens_(tokens), at_(begin), end_(end), depth_(depth) {}

  std::optional<Term> run() {
    if (at_ >= end_ || depth_ > kMaxDepth) { return std::nullopt; }
    for (const std::string_view bar : {"over", "choose"}) {
      const size_t place = find_at_top(tokens_, at_, end_, TokenKind::kCommand, bar);
      if (place < end_) { return halves(place, bar == "over"); }
    }
    Term term = sum();
    if (failed_ || at_ != end_) { return std::nullopt; }
    return term;
  }

 private:
  Term fail() {
    failed_ = true;
    return {};
  }
  Term checked(std::optional<Term> term) { return term ? std::move(*term) : fail(); }
  Term within(size_t begin, size_t end) { return checked(Evaluator(tokens_, begin, end, depth_ + 1).run()); }

  bool more() const { return at_ < end_ && !failed_; }
  bool next_is(TokenKind kind, std::string_view text) const { return at_ < end_ && tokens_[at_].is(kind, text); }
  bool sign_is(std::string_view text) const { return next_is(TokenKind::kSign, text); }
  bool command_is(std::string_view text) const { return next_is(TokenKind::kCommand, text); }
  bool kind_is(TokenKind kind) const { return at_ < end_ && tokens_[at_].kind == kind; }
  bool take_sign(std::string_view text) {
    if (!sign_is(text)) { return false; }
    ++at_;
    return true;
  }
  bool take_command(std::string_view text) {
    if (!command_is(text)) { return false; }
    ++at_;
    return true;
  }

  // {a \over b} and {a \choose b}
  std::optional<Term> halves(size_t place, bool over) {
    const Term top = within(at_, place);
    const Term bottom = within(place + 1, end_);
    if (failed_) { return std::nullopt; }
    if (over) { return quotient_of(top, bottom); }
    const auto n = pure(top);
    const auto k = pure(bottom);
    if (!n || !k) { return std::nullopt; }
    return plain(binomial(*n, *k));
  }

  bool take_signs() {
    bool negative = false;
    while (sign_is("+") || sign_is("-")) { negative ^= tokens_[at_++].text == "-"; }
    return negative;
  }

  Term sum() {
    bool negative = take_signs();
    Term total = product();
    if (negative && !failed_) { total = checked(product_of(total, plain(number(-1)))); }
    while (more() && (sign_is("+") || sign_is("-"))) {
      negative = take_signs();
      const Term term = product();
      if (!failed_) { total = checked(sum_of(total, term, negative)); }
    }
    return total;
  }

  Term product() {
    Term total = factor();
    while (more()) {
      if (take_sign("*") || take_command("times")) {
        const Term by = signed_factor();
        total = checked(product_of(total, by));
      } else if (sign_is("/") || command_is("div")) {
        ++at_;
        total = divided(total);
      } else if (take_command("bmod")) {
        total = remainder(total);
      } else if (kind_is(TokenKind::kWord) || is_letter_unit()) {
        total = counted(total);
      } else if (starts_factor()) {
        const Term by = factor();
        total = checked(product_of(total, by));
      } else {
        break;
      }
    }
    return total;
  }

  // Behind a slash there may be a unit: 60 km/h.
  Term divided(const Term& total) {
    const bool unit = !total.unit.none() && at_ < end_ && unit_of(tokens_[at_].text, true).has_value();
    if (unit) {
      const auto per = unit_phrase();
      return per ? with_unit(total, *per, -1) : fail();
    }
    const Term by = signed_factor();
    return checked(quotient_of(total, by));
  }

  Term remainder(const Term& total) {
    const auto modulus = pure(signed_factor());
    const auto of = pure(total);
    if (!modulus || !of) { return fail(); }
    const int64_t m = whole(*modulus).value_or(0);
    const auto n = whole(*of);
    if (m <= 0 || !n) { return fail(); }
    return plain(number((*n % m + m) % m));
  }

  // Two numbers side by side are no product, unless a factorial stands between them.
  bool starts_factor() const {
    const Token& token = tokens_[at_];
    switch (token.kind) {
      case TokenKind::kNumber:
        return tokens_[at_ - 1].is(TokenKind::kSign, "!");
      case TokenKind::kLetter:
        return true;
      case TokenKind::kOpen:
        return token.text != "set" && token.text != "angle";
      case TokenKind::kSign:
        return token.text == "|" && bars_ == 0;
      case TokenKind::kCommand:
        return token.text == "frac" || token.text == "sqrt" || token.text == "binom" || token.text == "pi" ||
               token.text == "infty" || token.text == "sum" || token.text == "prod" || token.text == "int" ||
               is_function(token.text);
      default:
        return false;
    }
  }

  Term signed_factor() {
    const bool negative = take_signs();
    Term value = factor();
    return negative && !failed_ ? checked(product_of(value, plain(number(-1)))) : value;
  }

  Term factor() {
    if (++depth_ > kMaxDepth || at_ >= end_) { return fail(); }
    Term base = primary();
    while (more()) {
      if (sign_is("!")) {
        base = with_factorial(base);
      } else if (is_degree_sign()) {
        base = with_degrees(base);
      } else if (take_sign("^")) {
        const Term by = exponent();
        if (!failed_) { base = checked(power_of(base, by)); }
      } else {
        break;
      }
    }
    --depth_;
    return base;
  }

  // x^12 is x^1 2 in LaTeX but means x^{12} in plain text; x^-1 is taken as meant.
  Term exponent() {
    if (sign_is("-") || sign_is("+")) { return signed_factor(); }
    if (at_ >= end_) { return fail(); }
    if (kind_is(TokenKind::kNumber)) { return plain(decimal(tokens_[at_++].text)); }
    return primary();
  }

  Term with_factorial(const Term& base) {
    ++at_;
    const auto n = pure(base);
    if (!n) { return fail(); }
    if (!take_sign("!")) { return plain(factorial(*n)); }
    const auto size = whole(*n);
    if (!size || *size < 0 || *size > 1000) { return fail(); }
    Value value = number(1);
    for (int64_t i = *size; i > 1; i -= 2) { value = multiply(value, number(i)); }
    return plain(value);
  }

  // --- degrees and units

  // ^\circ, ^{\circ} or the sign alone: how many tokens.
  size_t degree_tokens() const {
    if (command_is("degree")) { return 1; }
    if (!sign_is("^")) { return 0; }
    if (at_ + 1 < end_ && tokens_[at_ + 1].is(TokenKind::kCommand, "degree")) { return 2; }
    const bool braces = at_ + 3 < end_ && tokens_[at_ + 1].is(TokenKind::kOpen, "{") &&
                        tokens_[at_ + 2].is(TokenKind::kCommand, "degree") &&
                        tokens_[at_ + 3].kind == TokenKind::kClose;
    return braces ? 4 : 0;
  }
  bool is_degree_sign() const { return degree_tokens() > 0; }

  Term with_degrees(const Term& base) {
    at_ += degree_tokens();
    std::string scale = "degree";
    if (kind_is(TokenKind::kLetter) && (at_ + 1 == end_ || tokens_[at_].upright)) {
      if (tokens_[at_].text == "C") { scale = "celsius"; }
      if (tokens_[at_].text == "F") { scale = "fahrenheit"; }
      if (scale != "degree") { ++at_; }
    }
    return with_unit(base, Unit{{{scale, 1}}, 1, 1}, 1);
  }

  Term with_unit(const Term& term, const Unit& unit, int power) {
    const auto made = times(term.unit, unit, power);
    if (!made || term.is_matrix()) { return fail(); }
    Term counted = term;
    counted.unit = *made;
    return counted;
  }

  // A letter that is set as a word behind a number: 5\text{ m}.
  bool is_letter_unit() const {
    if (at_ >= end_ || at_ == 0 || tokens_[at_].kind != TokenKind::kLetter || !tokens_[at_].upright) { return false; }
    const TokenKind before = tokens_[at_ - 1].kind;
    return (before == TokenKind::kNumber || before == TokenKind::kClose) && unit_of(tokens_[at_].text, true);
  }

  // Words behind a value: a multiplier, "percent", or a unit.
  Term counted(const Term& total) {
    const std::string word = lower_ascii(tokens_[at_].text);
    if (const auto by = multiplier_of(word)) {
      ++at_;
      return checked(product_of(total, plain(number(*by))));
    }
    if (word == "per") {
      ++at_;
      const auto unit = unit_phrase();
      return unit ? with_unit(total, *unit, -1) : fail();
    }
    if (word == "percent" && at_ + 1 < end_ && total.unit.none() && !tokens_[at_ + 1].is(TokenKind::kWord, "points")) {
      ++at_;
      return checked(quotient_of(total, plain(number(100))));
    }
    const auto unit = unit_phrase();
    return unit ? with_unit(total, *unit, 1) : fail();
  }

  // One unit with its power: cm^2, square feet, meters squared, degrees Celsius.
  std::optional<Unit> unit_phrase() {
    int power = 1;
    if (at_ >= end_) { return std::nullopt; }
    std::string word = lower_ascii(tokens_[at_].text);
    if (word == "square" || word == "sq" || word == "cubic" || word == "cu") {
      power = word[0] == 's' ? 2 : 3;
      if (++at_ >= end_) { return std::nullopt; }
      word = lower_ascii(tokens_[at_].text);
    }
    auto unit = unit_of(word, tokens_[at_].upright);
    if (!unit) { return std::nullopt; }
    ++at_;
    if (*unit == Unit{{{"degree", 1}}, 1, 1}) { *unit = degrees_of_a_scale(); }
    if (*unit == Unit{{{"percent", 1}}, 1, 1} && next_is(TokenKind::kWord, "points")) { ++at_; }
    if (next_is(TokenKind::kWord, "squared") || next_is(TokenKind::kWord, "cubed")) {
      power = tokens_[at_++].text == "squared" ? 2 : 3;
    } else if (sign_is("^") && !is_degree_sign()) {
      ++at_;
      const auto by = pure(exponent());
      const auto n = by && !failed_ ? whole(*by) : std::nullopt;
      if (!n || *n < -9 || *n > 9) { return std::nullopt; }
      power = static_cast<int>(*n);
    }
    return times({}, *unit, power);
  }

  Unit degrees_of_a_scale() {
    std::string scale = "degree";
    const std::string next = at_ < end_ ? lower_ascii(tokens_[at_].text) : "";
    if (next == "c" || next == "celsius") { scale = "celsius"; }
    if (next == "f" || next == "fahrenheit") { scale = "fahrenheit"; }
    if (scale != "degree") { ++at_; }
    return Unit{{{scale, 1}}, 1, 1};
  }

  // --- primaries

  Term primary() {
    if (at_ >= end_) { return fail(); }
    switch (tokens_[at_].kind) {
      case TokenKind::kNumber:
        return mixed_number();
      case TokenKind::kOpen:
        return bracketed();
      case TokenKind::kLetter:
        return letter();
      case TokenKind::kCommand:
        return command();
      case TokenKind::kSign:
        return sign_is("|") ? bars() : fail();
      case TokenKind::kWord:
        return numeral();
      default:
        return fail();
    }
  }

  Term numeral() {
    if (const auto money = currency()) { return *money; }
    const auto n = numeral_of(tokens_[at_].text);
    if (!n) { return fail(); }
    ++at_;
    return plain(number(*n));
  }

  // $5: the unit before its number. Nothing: it is not money, and nothing was taken.
  std::optional<Term> currency() {
    const std::string& word = tokens_[at_].text;
    const bool money = word == "dollar" || word == "euro" || word == "sterling" || word == "yen";
    if (!money || at_ + 1 >= end_ || tokens_[at_ + 1].kind != TokenKind::kNumber) { return std::nullopt; }
    const auto unit = unit_of(word, true);
    ++at_;
    const Term amount = mixed_number();
    return unit && !failed_ ? with_unit(amount, *unit, 1) : fail();
  }

  Term bracketed() {
    const size_t open = at_;
    const size_t close = tokens_[open].match;
    const std::string& bracket = tokens_[open].text;
    at_ = close + 1;
    if (bracket == "matrix") { return matrix(open, close); }
    if (bracket == "floor" || bracket == "ceil") { return rounded(open, close); }
    const std::string& closing = tokens_[close].text;
    const bool fits = (bracket == "(" && closing == ")") || (bracket == "[" && closing == "]") || bracket == "{";
    return fits ? within(open + 1, close) : fail();
  }

  Term rounded(size_t open, size_t close) {
    const auto of = pure(within(open + 1, close));
    if (!of || failed_) { return fail(); }
    if (whole(*of)) { return plain(*of); }
    const auto real = real_number(*of);
    if (!real || !(std::abs(*real) < 1e15L) || std::abs(*real - std::round(*real)) < 1e-12L) { return fail(); }
    const long double to = tokens_[open].text == "floor" ? std::floor(*real) : std::ceil(*real);
    return plain(number(static_cast<int64_t>(to)));
  }

  Term bars() {
    ++at_;
    ++bars_;
    const Term inside = sum();
    --bars_;
    const auto of = pure(inside);
    if (!take_sign("|") || !of || failed_) { return fail(); }
    return plain(absolute(*of));
  }

  Term matrix(size_t open, size_t close) {
    Term made;
    size_t begin = open + 1;
    while (begin < close && made.cells.size() < kMaxCells) {
      const size_t row_end = find_at_top(tokens_, begin, close, TokenKind::kSign, "\\");
      size_t columns = 0;
      for (size_t cell = begin; cell <= row_end && !failed_; ++columns) {
        const size_t cell_end = find_at_top(tokens_, cell, row_end, TokenKind::kSign, "&");
        const auto value = pure(within(cell, cell_end));
        if (!value || failed_) { return fail(); }
        made.cells.push_back(*value);
        cell = cell_end + 1;
      }
      if (made.columns != 0 && made.columns != columns) { return fail(); }
      made.columns = columns;
      begin = row_end + 1;
    }
    return made.columns > 0 && begin >= close ? made : fail();
  }

  // 3\frac{1}{2} and 3 1/2 are sums; 101_2 is a numeral to a base.
  Term mixed_number() {
    const std::string& text = tokens_[at_++].text;
    if (sign_is("_")) { return numeral_to_base(text); }
    Term whole_part = plain(decimal(text));
    if (!all_digits(text)) { return whole_part; }
    if (command_is("frac") && are_two_numbers(tokens_, at_ + 1, end_)) {
      return checked(sum_of(whole_part, command(), false));
    }
    const bool fraction = at_ + 2 < end_ && all_digits(tokens_[at_].text) && kind_is(TokenKind::kNumber) &&
                          tokens_[at_ + 1].is(TokenKind::kSign, "/") && tokens_[at_ + 2].kind == TokenKind::kNumber &&
                          all_digits(tokens_[at_ + 2].text);
    if (!fraction) { return whole_part; }
    const Value part = divide(decimal(tokens_[at_].text), decimal(tokens_[at_ + 2].text));
    at_ += 3;
    whole_part.value = add(whole_part.value, part);
    return whole_part;
  }

  Term numeral_to_base(const std::string& text) {
    ++at_;
    const bool braces = next_is(TokenKind::kOpen, "{");
    const size_t from = at_ + (braces ? 1 : 0);
    if (from >= end_ || (braces && tokens_[at_].match != from + 1)) { return fail(); }
    const Token& token = tokens_[from];
    const auto named = numeral_of(token.text);
    const auto base =
        all_digits(token.text) && token.text.size() < 3 ? std::optional<int64_t>(std::stoi(token.text)) : named;
    at_ = from + (braces ? 2 : 1);
    if (!base || *base < 2 || *base > 36 || !all_digits(text)) { return fail(); }
    for (const char c : text) {
      if (c - '0' >= *base) { return fail(); }
    }
    return plain(digits_to_base(text, *base));
  }

  Term argument() {
    if (kind_is(TokenKind::kOpen) && (tokens_[at_].text == "{" || tokens_[at_].text == "(")) { return bracketed(); }
    if (kind_is(TokenKind::kNumber)) { return plain(decimal(tokens_[at_++].text)); }
    return primary();
  }

  // The tokens of a sub- or superscript, joined; at_ then stands behind them.
  std::string script() {
    if (at_ >= end_) { failed_ = true; }
    if (failed_) { return {}; }
    const size_t begin = at_;
    at_ = kind_is(TokenKind::kOpen) ? tokens_[at_].match + 1 : at_ + 1;
    return joined(tokens_, begin, at_);
  }

  // A variable with its subscripts and primes, or what a function f, g or h gives.
  Term letter() {
    std::string name = tokens_[at_++].text;
    const bool scripted = sign_is("_") || sign_is("'");
    if (name == "e" && !scripted) { return plain(euler()); }
    if (name == "i" && !scripted) { return plain(imaginary_unit()); }
    const bool function = name == "f" || name == "g" || name == "h";
    while (more() && (sign_is("_") || sign_is("'"))) {
      const bool prime = tokens_[at_++].text == "'";
      name += prime ? "'" : "_" + script();
    }
    if (!function || failed_) { return plain(variable(name)); }
    size_t ahead = at_;
    if (sign_is("^") && at_ + 1 < end_) {
      ahead = tokens_[at_ + 1].kind == TokenKind::kOpen ? tokens_[at_ + 1].match + 1 : at_ + 2;
    }
    const bool applied = ahead < end_ && tokens_[ahead].is(TokenKind::kOpen, "(");
    if (!applied) { return plain(variable(name)); }
    name += joined(tokens_, at_, ahead);
    at_ = ahead;
    const size_t close = tokens_[at_].match;
    const Term of = within(at_ + 1, close);
    at_ = close + 1;
    const auto value = pure(of);
    return value && !failed_ ? plain(opaque(name + "(", *value)) : fail();
  }

  Term command() {
    const std::string& name = tokens_[at_++].text;
    if (name == "pi") { return plain(pi()); }
    if (name == "infty") { return plain(infinity()); }
    if (name == "ldots") { return plain(variable("...")); }
    if (name == "frac") {
      const Term top = argument();
      const Term bottom = argument();
      return failed_ ? Term() : checked(quotient_of(top, bottom));
    }
    if (name == "binom") {
      const auto n = pure(argument());
      const auto k = pure(argument());
      return n && k && !failed_ ? plain(binomial(*n, *k)) : fail();
    }
    if (name == "sqrt") { return square_root(); }
    if (name == "sum" || name == "prod" || name == "int") { return over_index(name); }
    return is_function(name) ? function(name) : fail();
  }

  Term square_root() {
    Value degree = number(2);
    if (next_is(TokenKind::kOpen, "[")) {
      const auto given = pure(bracketed());
      if (!given || failed_) { return fail(); }
      degree = *given;
    }
    const auto of = pure(argument());
    return of && !failed_ ? plain(root(*of, degree)) : fail();
  }

  // A sum, product or integral is known by its bounds and by the value of what stands behind it.
  Term over_index(const std::string& name) {
    std::string bounds = name;
    while (more() && (sign_is("_") || sign_is("^"))) {
      bounds += tokens_[at_++].text;
      bounds += script();
    }
    const auto body = at_ < end_ && !failed_ ? pure(product()) : std::nullopt;
    return body && !failed_ ? plain(opaque(bounds, *body)) : fail();
  }

  // --- functions

  static std::string inverse_of(std::string_view name) {
    constexpr std::array<std::string_view, 4> kInvertible = {"sin", "cos", "tan", "cot"};
    const bool known = std::find(kInvertible.begin(), kInvertible.end(), name) != kInvertible.end();
    return known ? "arc" + std::string(name) : "";
  }

  // \sin^2 x is a power, \sin^{-1} x the inverse function, \log_2 x to a base.
  Term function(std::string name) {
    if (++depth_ > kMaxDepth) { return fail(); }
    std::optional<Value> base;
    std::optional<Term> power;
    while (more() && (sign_is("^") || sign_is("_"))) {
      const bool raised = tokens_[at_++].text == "^";
      const Term script = raised ? exponent() : argument();
      if (failed_) { return fail(); }
      if (raised) {
        power = script;
      } else {
        base = pure(script);
      }
    }
    if (base && name != "log") { return fail(); }
    if (power && same_value(power->value, number(-1))) {
      name = inverse_of(name);
      power.reset();
    }
    const auto of = pure(applied_to());
    auto value = of && !failed_ ? apply_function(name, *of) : std::nullopt;
    if (!value) { return fail(); }
    if (base) { value = divide(*apply_function("ln", *of), *apply_function("ln", *base)); }
    --depth_;
    return power ? checked(power_of(plain(*value), *power)) : plain(*value);
  }

  // What a function is applied to: brackets, another function, or a product of numbers, letters and fractions.
  Term applied_to() {
    if (at_ >= end_) { return fail(); }
    if (kind_is(TokenKind::kOpen)) { return bracketed(); }
    if (sign_is("|")) { return bars(); }
    if (kind_is(TokenKind::kCommand) && (is_function(tokens_[at_].text) || command_is("sqrt"))) { return factor(); }
    Term total = factor();
    while (more() && (kind_is(TokenKind::kLetter) || command_is("pi") || command_is("frac"))) {
      if (tokens_[at_].is(TokenKind::kLetter, "e")) { return fail(); }  // \sin x e^x
      const Term by = factor();
      if (!failed_) { total = checked(product_of(total, by)); }
    }
    // \ln x/2 and \ln 2\sqrt{3} may be meant either way.
    const bool divided = sign_is("/") && at_ + 1 < end_ && !is_function(tokens_[at_ + 1].text);
    return divided || command_is("sqrt") ? fail() : total;
  }

  const std::vector<Token>& tokens_;
  size_t at_;
  size_t end_;
  int depth_;
  int bars_ = 0;  // open |
  bool failed_ = false;
};

}  // namespace

std::optional<Term> evaluate(const std::vector<Token>& tokens, size_t begin, size_t end) {
  return Evaluator(tokens, begin, end, 0).run();
}

}  // namespace vortex::evals
