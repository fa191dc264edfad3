#include "evals/grading/expression.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/text.h"

namespace vortex::evals {
namespace {

using Complex = std::complex<double>;
__extension__ typedef unsigned __int128 Wide;

constexpr std::array<uint64_t, 2> kPrimes = {2305843009213693951ULL, 2305843009213693921ULL};  // 2^61 - 1, 2^61 - 31
constexpr double kTolerance = 1e-12;
constexpr double kLargest = 0.25;  // difference of equal values, however large: neighbouring integers differ
constexpr double kSmall = 1e-3;    // values below it are compared as if they were as large
constexpr int kMaxDepth = 40;
constexpr size_t kWordLetters = 4;  // from so many letters on, letters side by side are a word and no product
constexpr int64_t kMaxFactorial = 2000;

uint64_t product(uint64_t a, uint64_t b, uint64_t prime) {
  return static_cast<uint64_t>(static_cast<Wide>(a) * b % prime);
}

uint64_t power(uint64_t base, uint64_t exponent, uint64_t prime) {
  uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) { result = product(result, base, prime); }
    base = product(base, base, prime);
  }
  return result;
}

template <typename Fn>
Value combine(const Value& a, const Value& b, Fn fn) {
  Value value;
  for (size_t i = 0; i < value.at.size(); ++i) { value.at[i] = fn(a.at[i], b.at[i]); }
  value.has_variables = a.has_variables || b.has_variables;
  value.exact = a.exact && b.exact;
  return value;
}

Value number(int64_t whole) {
  Value value;
  value.at.fill(static_cast<double>(whole));
  for (size_t i = 0; i < kPrimes.size(); ++i) {
    const uint64_t size = static_cast<uint64_t>(whole < 0 ? -whole : whole) % kPrimes[i];
    value.residue[i] = whole < 0 && size > 0 ? kPrimes[i] - size : size;
  }
  value.exact = true;
  return value;
}

Value constant(Complex c) {
  Value value;
  value.at.fill(c);
  return value;
}

Value add(const Value& a, const Value& b) {
  Value sum = combine(a, b, [](Complex x, Complex y) { return x + y; });
  for (size_t i = 0; i < kPrimes.size(); ++i) { sum.residue[i] = (a.residue[i] + b.residue[i]) % kPrimes[i]; }
  return sum;
}

Value multiply(const Value& a, const Value& b) {
  Value made = combine(a, b, [](Complex x, Complex y) { return x * y; });
  for (size_t i = 0; i < kPrimes.size(); ++i) { made.residue[i] = product(a.residue[i], b.residue[i], kPrimes[i]); }
  return made;
}

// An exact zero below a fraction leaves nothing that could be equal to anything.
Value divide(const Value& a, const Value& b) {
  Value made = combine(a, b, [](Complex x, Complex y) { return x / y; });
  for (size_t i = 0; i < kPrimes.size(); ++i) {
    if (b.exact && b.residue[i] == 0) { return constant(std::nan("")); }
    made.residue[i] = product(a.residue[i], power(b.residue[i], kPrimes[i] - 2, kPrimes[i]), kPrimes[i]);
  }
  return made;
}

Value negate(const Value& a) { return multiply(a, number(-1)); }

// The whole number that a value is, if it is one of moderate size.
std::optional<int64_t> whole(const Value& value) {
  const double real = value.at[0].real();
  if (!value.exact || value.has_variables || !(std::abs(real) < 1e15) || real != std::floor(real)) {
    return std::nullopt;
  }
  if (!same_value(value, number(static_cast<int64_t>(real)))) { return std::nullopt; }
  return static_cast<int64_t>(real);
}

Value raise(const Value& base, const Value& exponent) {
  Value made = combine(base, exponent, [](Complex x, Complex y) { return std::pow(x, y); });
  made.exact = false;
  const auto n = whole(exponent);
  if (!n || !base.exact) { return made; }
  Value exact = number(1);
  for (size_t i = 0; i < kPrimes.size(); ++i) {
    exact.residue[i] = power(base.residue[i], static_cast<uint64_t>(std::abs(*n)), kPrimes[i]);
  }
  exact.at = made.at;
  exact.has_variables = base.has_variables;
  if (*n >= 0) { return exact; }
  for (Complex& value : exact.at) {
    value = 1.0 / value;  // back: divide() inverts it again
  }
  return divide(number(1), exact);
}

Value map(const Value& a, Complex (*fn)(Complex)) {
  Value made = a;
  for (Complex& value : made.at) { value = fn(value); }
  made.exact = false;
  return made;
}

Value variable(std::string_view name) {
  uint64_t key = 0x5eed;
  for (const char c : name) { key = stream_key(key, static_cast<unsigned char>(c)); }
  Rng rng(key);
  Value value;
  value.has_variables = true;
  value.exact = true;
  for (Complex& at : value.at) { at = 0.5 + 2 * rng.uniform(); }
  for (size_t i = 0; i < kPrimes.size(); ++i) { value.residue[i] = rng.below(kPrimes[i]); }
  return value;
}

// Exact for squares of whole numbers.
Value square_root(const Value& a) {
  if (const auto n = whole(a); n && *n >= 0) {
    const auto root = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(*n))));
    if (root * root == *n) { return number(root); }
  }
  return map(a, [](Complex x) { return std::sqrt(x); });
}

using Function = std::pair<std::string_view, Complex (*)(Complex)>;
constexpr std::array<Function, 15> kFunctions = {{
    {"sin", [](Complex x) { return std::sin(x); }},
    {"cos", [](Complex x) { return std::cos(x); }},
    {"tan", [](Complex x) { return std::tan(x); }},
    {"cot", [](Complex x) { return 1.0 / std::tan(x); }},
    {"sec", [](Complex x) { return 1.0 / std::cos(x); }},
    {"csc", [](Complex x) { return 1.0 / std::sin(x); }},
    {"arcsin", [](Complex x) { return std::asin(x); }},
    {"arccos", [](Complex x) { return std::acos(x); }},
    {"arctan", [](Complex x) { return std::atan(x); }},
    {"sinh", [](Complex x) { return std::sinh(x); }},
    {"cosh", [](Complex x) { return std::cosh(x); }},
    {"tanh", [](Complex x) { return std::tanh(x); }},
    {"exp", [](Complex x) { return std::exp(x); }},
    {"ln", [](Complex x) { return std::log(x); }},
    {"log", [](Complex x) { return std::log10(x); }},
}};

// A recursive-descent evaluator. `failed` once set makes every function give zero and ends the reading.
class Evaluator {
 public:
  explicit Evaluator(std::string_view text) : text_(text) {}

  std::optional<Value> run() {
    const Value value = sum();
    skip_spaces();
    if (failed_ || at_ != text_.size()) { return std::nullopt; }
    return value;
  }

 private:
  Value fail() {
    failed_ = true;
    return number(0);
  }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') { ++at_; }
  }
  char peek() {
    skip_spaces();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) { return false; }
    ++at_;
    return true;
  }
  // A command such as \frac, not just the beginning of a longer one.
  bool take_command(std::string_view name) {
    skip_spaces();
    const std::string_view rest = text_.substr(at_);
    if (!rest.starts_with("\\") || !rest.substr(1).starts_with(name)) { return false; }
    if (rest.size() > name.size() + 1 && std::isalpha(static_cast<unsigned char>(rest[name.size() + 1])) != 0) {
      return false;
    }
    at_ += name.size() + 1;
    return true;
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

  Value sum() {
    if (++depth_ > kMaxDepth) { return fail(); }
    Value total = number(0);
    bool negative = false;
    while (peek() == '+' || peek() == '-') { negative ^= text_[at_++] == '-'; }
    for (bool first = true; !failed_; first = false) {
      if (!first) {
        const char c = peek();
        if (c != '+' && c != '-') { break; }
        negative = false;
        while (peek() == '+' || peek() == '-') { negative ^= text_[at_++] == '-'; }
      }
      const Value term = product_of_factors();
      total = add(total, negative ? negate(term) : term);
    }
    --depth_;
    return total;
  }

  Value product_of_factors() {
    Value total = factor();
    while (!failed_) {
      const char c = peek();
      if (c == '*') {
        ++at_;
        total = multiply(total, signed_factor());
      } else if (c == '/' || c == ':') {
        ++at_;
        total = divide(total, signed_factor());
      } else if (take_command("times") || take_command("cdot")) {
        total = multiply(total, signed_factor());
      } else if (take_command("div")) {
        total = divide(total, signed_factor());
      } else if (starts_factor(c)) {
        total = multiply(total, factor());
      } else {
        break;
      }
    }
    return total;
  }

  // Two numbers side by side are no product.
  bool starts_factor(char c) const {
    if (is_digit(c) || c == '.') { return false; }
    if (c == '|') { return bars_ == 0; }
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("\\rfloor") || rest.starts_with("\\rceil")) { return false; }
    return is_letter(c) || c == '(' || c == '{' || c == '[' || c == '\\';
  }

  Value signed_factor() {
    if (++depth_ > kMaxDepth) { return fail(); }
    const bool negative = take('-');
    if (!negative) { take('+'); }
    const Value value = peek() == '-' || peek() == '+' ? signed_factor() : factor();
    --depth_;
    return negative ? negate(value) : value;
  }

  Value factor() {
    if (++depth_ > kMaxDepth) { return fail(); }
    Value base = primary();
    while (!failed_) {
      if (take('!')) {
        base = factorial(base);
      } else if (take('^')) {
        base = raise(base, exponent());
      } else {
        break;
      }
    }
    --depth_;
    return base;
  }

  // x^12 is x^1 2 in LaTeX but means x^{12} in plain text; x^-1 is taken as meant.
  Value exponent() {
    if (peek() == '-' || peek() == '+') { return signed_factor(); }
    if (is_digit(peek())) { return digits(); }
    return factor();
  }

  Value factorial(const Value& base) {
    const auto n = whole(base);
    if (!n || *n < 0 || *n > kMaxFactorial) { return fail(); }
    Value made = number(1);
    for (int64_t i = 2; i <= *n; ++i) { made = multiply(made, number(i)); }
    return made;
  }

  Value primary() {
    const char c = peek();
    if (is_digit(c) || c == '.') { return mixed_number(); }
    if (c == '(' || c == '{' || c == '[') { return bracketed(); }
    if (c == '|') { return absolute(); }
    if (c == '\\') { return command(); }
    if (is_letter(c)) { return word(); }
    return fail();
  }

  Value bracketed() {
    const char open = text_[at_++];
    const int bars = std::exchange(bars_, 0);
    const Value value = sum();
    bars_ = bars;
    const char close = open == '(' ? ')' : open == '{' ? '}' : ']';
    return take(close) ? value : fail();
  }

  Value absolute() {
    ++at_;
    ++bars_;
    const Value value = sum();
    --bars_;
    if (!take('|')) { return fail(); }
    const double real = value.at[0].real();
    if (value.exact && !value.has_variables) { return real < 0 ? negate(value) : value; }
    return map(value, [](Complex x) { return Complex(std::abs(x)); });
  }

  Value digits() {
    Value value = number(0);
    while (at_ < text_.size() && is_digit(text_[at_])) {
      value = add(multiply(value, number(10)), number(text_[at_++] - '0'));
    }
    return value;
  }

  // 12, 3.5, .5, 1.5e3
  Value decimal() {
    Value value = digits();
    if (at_ + 1 < text_.size() && text_[at_] == '.' && is_digit(text_[at_ + 1])) {
      const size_t begin = ++at_;
      Value fraction = digits();
      const auto places = static_cast<int64_t>(at_ - begin);
      value = add(value, divide(fraction, raise(number(10), number(places))));
    } else if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;  // "5."
    }
    const std::string_view rest = text_.substr(at_);
    const size_t sign = rest.size() > 1 && (rest[1] == '-' || rest[1] == '+') ? 1 : 0;
    if (rest.size() > 1 + sign && (rest[0] == 'e' || rest[0] == 'E') && is_digit(rest[1 + sign])) {
      at_ += 1 + sign;
      const Value places = digits();
      value = multiply(value, raise(number(10), sign != 0 && rest[1] == '-' ? negate(places) : places));
    }
    return value;
  }

  // 3\frac{1}{2} and 3 1/2 are sums.
  Value mixed_number() {
    const size_t begin = at_;
    Value value = decimal();
    if (at_ == begin) { return fail(); }
    if (at_ < text_.size() && text_[at_] == '_') {  // the base of a numeral: not read
      ++at_;
      subscript();
    }
    const bool is_whole = text_.substr(begin, at_ - begin).find_first_not_of("0123456789") == std::string_view::npos;
    if (!is_whole) { return value; }
    const size_t here = at_;
    if (take_command("frac")) {
      const size_t from = at_;
      const Value fraction = quotient();
      const std::string_view written = text_.substr(from, at_ - from);
      if (written.find_first_not_of("0123456789{} ") == std::string_view::npos) { return add(value, fraction); }
      at_ = here;
      return value;
    }
    if (here < text_.size() && text_[here] == ' ' && is_digit(peek())) {
      const Value numerator = digits();
      if (at_ < text_.size() && text_[at_] == '/' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1])) {
        ++at_;
        return add(value, divide(numerator, digits()));
      }
      at_ = here;
    }
    return value;
  }

  // The two arguments of \frac; \frac12 takes a digit each.
  Value quotient() {
    const Value numerator = argument();
    return divide(numerator, argument());
  }

  Value argument() {
    const char c = peek();
    if (c == '{' || c == '(') { return bracketed(); }
    if (is_digit(c)) { return number(text_[at_++] - '0'); }
    if (is_letter(c)) { return variable(text_.substr(at_++, 1)); }
    if (c == '\\') { return command(); }
    return fail();
  }

  Value command() {
    if (++depth_ > kMaxDepth) { return fail(); }
    Value value = command_value();
    --depth_;
    return value;
  }

  Value command_value() {
    if (take_command("frac")) { return quotient(); }
    if (take_command("sqrt")) { return root(); }
    if (take_command("binom")) { return binomial(); }
    if (take_command("pi")) { return constant(std::numbers::pi); }
    if (take_command("lfloor")) {
      return rounded("rfloor", [](double x) { return std::floor(x); });
    }
    if (take_command("lceil")) {
      return rounded("rceil", [](double x) { return std::ceil(x); });
    }
    size_t end = at_ + 1;
    while (end < text_.size() && is_letter(text_[end])) { ++end; }
    const std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    if (name.empty()) { return fail(); }
    at_ = end;
    if (const auto applied = function(name)) { return *applied; }
    return variable_with_subscript(std::string(name));
  }

  Value root() {
    if (!take('[')) { return square_root(argument()); }
    const Value degree = sum();
    if (!take(']')) { return fail(); }
    const Value of = argument();
    const auto n = whole(degree);
    if (n && *n % 2 != 0 && !of.has_variables && of.at[0].imag() == 0 && of.at[0].real() < 0) {
      return negate(raise(negate(of), divide(number(1), degree)));  // the real root
    }
    return raise(of, divide(number(1), degree));
  }

  Value binomial() {
    const Value top = argument();
    const auto n = whole(top);
    const auto k = whole(argument());
    if (!n || !k || *k < 0 || *k > kMaxFactorial) { return fail(); }
    Value value = number(1);
    for (int64_t i = 0; i < *k; ++i) { value = divide(multiply(value, number(*n - i)), number(i + 1)); }
    return value;
  }

  Value rounded(std::string_view closing, double (*round)(double)) {
    const Value of = sum();
    if (failed_ || !take_command(closing) || of.has_variables || !(std::abs(of.at[0].real()) < 1e15)) { return fail(); }
    return number(static_cast<int64_t>(round(of.at[0].real())));
  }

  // What a known function gives for its argument: in braces, in brackets, or the next factor. \sin^2 x is a power.
  std::optional<Value> function(std::string_view name) {
    const auto found =
        std::find_if(kFunctions.begin(), kFunctions.end(), [&](const Function& f) { return f.first == name; });
    if (found == kFunctions.end()) { return std::nullopt; }
    if (++depth_ > kMaxDepth) { return fail(); }
    std::optional<Value> base;
    std::optional<Value> power_of;
    if (name == "log" && take('_')) { base = argument(); }
    if (take('^')) { power_of = exponent(); }
    const bool single = peek() == '(' || peek() == '{';
    Value of = single ? bracketed() : factor();
    Value value = map(of, found->second);
    if (base) {
      value = divide(map(of, [](Complex x) { return std::log(x); }), map(*base, [](Complex x) { return std::log(x); }));
    }
    if (power_of) { value = raise(value, *power_of); }
    --depth_;
    return value;
  }

  // Letters side by side: a function, pi, infinity, a word, or a product of variables, one letter each.
  Value word() {
    size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) { ++end; }
    const std::string_view name = text_.substr(at_, end - at_);
    if (name == "pi" || name == "infty" || name == "infinity" || name == "inf") {
      at_ = end;
      return name == "pi" ? constant(std::numbers::pi) : variable("infty");
    }
    if (name == "sqrt") {
      at_ = end;
      return root();
    }
    for (const Function& known : kFunctions) {
      if (name != known.first) { continue; }
      at_ = end;
      return function(name).value_or(number(0));
    }
    if (name.size() >= kWordLetters) {
      at_ = end;
      return variable(lower_ascii(name));
    }
    const char letter = text_[at_++];
    if (letter == 'i' && peek() != '_') { return constant(Complex(0, 1)); }
    if (letter == 'e' && peek() != '_') { return constant(std::numbers::e); }
    return variable_with_subscript(std::string(1, letter));
  }

  Value variable_with_subscript(std::string name) {
    if (take('_')) { name += "_" + subscript(); }
    return variable(name);
  }

  std::string subscript() {
    const size_t begin = at_;
    if (take('{')) {
      while (at_ < text_.size() && text_[at_] != '}') { ++at_; }
      if (!take('}')) { fail(); }
    } else if (at_ < text_.size()) {
      while (at_ < text_.size() && std::isalnum(static_cast<unsigned char>(text_[at_])) != 0) { ++at_; }
    }
    std::string name;
    for (const char c : text_.substr(begin, at_ - begin)) {
      if (c != '{' && c != '}' && c != ' ') { name += c; }
    }
    return name;
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  int bars_ = 0;  // open |
  bool failed_ = false;
};

}  // namespace

bool same_value(const Value& a, const Value& b) {
  if (a.exact && b.exact) { return a.residue == b.residue; }
  for (size_t i = 0; i < a.at.size(); ++i) {
    const double size = std::max({kSmall, std::abs(a.at[i]), std::abs(b.at[i])});
    if (!(std::abs(a.at[i] - b.at[i]) <= std::min(kTolerance * size, kLargest))) { return false; }
    if (!std::isfinite(size)) { return false; }
  }
  return true;
}

Value scaled(const Value& value, int64_t numerator, int64_t denominator) {
  return divide(multiply(value, number(numerator)), number(denominator));
}

std::optional<Value> evaluate(std::string_view text) { return Evaluator(text).run(); }

}  // namespace vortex::evals
