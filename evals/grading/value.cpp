#include "evals/grading/value.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <utility>

#include "base/rng.h"

namespace vortex::evals {
namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr std::array<uint64_t, 2> kPrimes = {2305843009213693951ULL, 2305843009213693921ULL};  // 2^61 - 1, 2^61 - 31
constexpr long double kEpsilon = std::numeric_limits<long double>::epsilon();
constexpr long double kSlack = 64;         // errors of functions are estimates
constexpr long double kPrecision = 1e-17;  // relative
constexpr long double kKnown = 1e-9;       // relative: a value that is known less well can only be zero
constexpr long double kTiny = 1e-12;       // what is nothing but error may be this large
constexpr int64_t kMaxFactorial = 10000;
constexpr int64_t kMaxChosen = 1000;
constexpr int kEnoughPoints = 3;  // real ones, of 12

uint64_t prime_of(size_t residue) { return kPrimes[residue / 2]; }

uint64_t times(uint64_t a, uint64_t b, uint64_t prime) {
  return static_cast<uint64_t>(static_cast<Wide>(a) * b % prime);
}

uint64_t power(uint64_t base, uint64_t exponent, uint64_t prime) {
  uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) { result = times(result, base, prime); }
    base = times(base, base, prime);
  }
  return result;
}

long double size_of(Complex z) { return std::abs(z); }

// The same at every point.
Value everywhere(Complex c, long double error) {
  Value value;
  value.points.fill({c, error, false});
  return value;
}

template <typename Fn>
Value combine(const Value& a, const Value& b, Fn fn) {
  Value made;
  for (size_t i = 0; i < made.points.size(); ++i) {
    made.points[i] = fn(a.points[i], b.points[i]);
    made.points[i].off_reals = made.points[i].off_reals || a.points[i].off_reals || b.points[i].off_reals;
  }
  made.has_variables = a.has_variables || b.has_variables;
  made.exact = a.exact && b.exact;
  return made;
}

// A function of one number, with the error that it makes of the argument's. `leaves` says where it leaves the reals.
template <typename Fn, typename Leaves>
Value map(const Value& a, Fn fn, Leaves leaves) {
  Value made;
  made.has_variables = a.has_variables;
  for (size_t i = 0; i < made.points.size(); ++i) {
    const Point& from = a.points[i];
    const Complex at = fn(from.at);
    const long double moved = std::max(size_of(fn(from.at + from.error) - at), size_of(fn(from.at - from.error) - at));
    made.points[i] = {at, moved + 4 * kEpsilon * size_of(at), from.off_reals || (a.has_variables && leaves(from.at))};
  }
  return made;
}

bool is_whole(const Complex& z) { return z.imag() == 0 && std::floor(z.real()) == z.real(); }
bool is_negative(const Complex& z) { return z.imag() != 0 || z.real() < 0; }
bool beyond_one(const Complex& z) { return z.imag() != 0 || std::abs(z.real()) > 1; }
bool never(const Complex&) { return false; }

Point raised(const Point& base, const Point& exponent, bool variables) {
  const bool real = base.at.imag() == 0 && exponent.at.imag() == 0 && (base.at.real() > 0 || is_whole(exponent.at));
  const Complex at = real ? Complex(std::pow(base.at.real(), exponent.at.real())) : std::pow(base.at, exponent.at);
  const long double log = base.at == Complex(0) ? 0 : size_of(std::log(base.at));
  const long double size = size_of(base.at);
  const long double of_base = size > 0 ? size_of(exponent.at) * base.error / size : base.error;
  const long double rounding = 4 * kEpsilon * (real ? 1 : 1 + size_of(exponent.at) * log);
  const long double relative = of_base + log * exponent.error + rounding;
  const bool leaves = is_negative(base.at) && !is_whole(exponent.at);
  // What a power of a negative constant means is clear for square roots alone.
  const bool clear = base.at.imag() != 0 || !leaves || is_whole(exponent.at * 2.0L) || exponent.at.imag() != 0;
  if (!variables && !clear) { return {Complex(std::nanl("")), 0, false}; }
  return {at, size_of(at) * relative, variables && leaves};
}

using Function = Complex (*)(const Complex&);
struct Known {
  std::string_view name;
  Function fn;
  bool (*leaves)(const Complex&);
};

constexpr std::array<Known, 19> kFunctions = {{
    {"sin", [](const Complex& x) { return std::sin(x); }, never},
    {"cos", [](const Complex& x) { return std::cos(x); }, never},
    {"tan", [](const Complex& x) { return std::tan(x); }, never},
    {"cot", [](const Complex& x) { return 1.0L / std::tan(x); }, never},
    {"sec", [](const Complex& x) { return 1.0L / std::cos(x); }, never},
    {"csc", [](const Complex& x) { return 1.0L / std::sin(x); }, never},
    {"arcsin", [](const Complex& x) { return std::asin(x); }, beyond_one},
    {"arccos", [](const Complex& x) { return std::acos(x); }, beyond_one},
    {"arctan", [](const Complex& x) { return std::atan(x); }, never},
    {"arccot", [](const Complex& x) { return std::numbers::pi_v<long double> / 2 - std::atan(x); }, never},
    {"sinh", [](const Complex& x) { return std::sinh(x); }, never},
    {"cosh", [](const Complex& x) { return std::cosh(x); }, never},
    {"tanh", [](const Complex& x) { return std::tanh(x); }, never},
    {"coth", [](const Complex& x) { return 1.0L / std::tanh(x); }, never},
    {"exp", [](const Complex& x) { return std::exp(x); }, never},
    {"ln", [](const Complex& x) { return std::log(x); }, is_negative},
    {"log", [](const Complex& x) { return std::log10(x); }, is_negative},
    {"lg", [](const Complex& x) { return std::log10(x); }, is_negative},
    {"sqrt", [](const Complex& x) { return std::sqrt(x); }, is_negative},
}};

// x! by the gamma function, on the real line alone.
Complex gamma_of(const Complex& x) {
  return x.imag() == 0 && size_of(x) < 1500 ? Complex(std::tgamma(x.real() + 1)) : Complex(std::nanl(""));
}

uint64_t key_of(std::string_view name) {
  uint64_t key = 0x5eed;
  for (const char c : name) { key = stream_key(key, static_cast<unsigned char>(c)); }
  return key;
}

// The sign of a variable at a point: all are positive at the first four, negative at two; then names that differ in
// the last five bits of their first letter differ in sign somewhere.
bool is_negative_at(size_t point, std::string_view name) {
  if (point < 4) { return false; }
  if (point < 6) { return true; }
  return (static_cast<unsigned>(name.empty() ? 0 : name.front()) >> (point - 6) & 1U) != 0;
}

Value drawn(uint64_t key, std::string_view name) {
  constexpr std::array<long double, 12> kSizes = {0.9L, 2.5L, 8, 40, 0.9L, 3, 0.7L, 2, 3, 1.1L, 5, 2};
  Rng rng(key);
  Value value;
  value.has_variables = value.exact = true;
  for (size_t i = 0; i < value.points.size(); ++i) {
    const long double at = kSizes[i] * (0.1L + 0.9L * static_cast<long double>(rng.uniform()));
    value.points[i].at = is_negative_at(i, name) ? -at : at;
  }
  for (size_t i = 0; i < value.residues.size(); ++i) { value.residues[i] = rng.below(prime_of(i)); }
  return value;
}

// A transcendental number is as good as a variable where only rational arithmetic is done.
Value transcendental(long double at, std::string_view name) {
  Value value = everywhere(at, kEpsilon * at);
  value.residues = drawn(key_of(name), name).residues;
  value.exact = true;
  return value;
}

bool is_zero(const Point& p) { return size_of(p.at) <= kSlack * p.error; }

// Are they equal as far as they are known?
bool agree(const Point& a, const Point& b) {
  const long double error = kSlack * (a.error + b.error);
  const long double size = std::max(size_of(a.at), size_of(b.at));
  if (!std::isfinite(size) || !std::isfinite(error)) { return false; }
  if (!(size_of(a.at - b.at) <= error + kPrecision * size)) { return false; }
  if (error <= kKnown * size) { return true; }
  return is_zero(a) && is_zero(b) && error <= kTiny;
}

// Calls fn at the points that count for a comparison of a and b; false as soon as it gives false.
template <typename Fn>
bool at_points_that_count(const Value& a, const Value& b, Fn fn) {
  const auto real = [&](size_t i) { return !a.points[i].off_reals && !b.points[i].off_reals; };
  int reals = 0;
  for (size_t i = 0; i < a.points.size(); ++i) { reals += real(i) ? 1 : 0; }
  for (size_t i = 0; i < a.points.size(); ++i) {
    if ((reals < kEnoughPoints || real(i)) && !fn(a.points[i], b.points[i])) { return false; }
  }
  return true;
}

}  // namespace

Value number(int64_t whole) {
  Value value = everywhere(static_cast<long double>(whole), 0);
  for (size_t i = 0; i < value.residues.size(); ++i) {
    const uint64_t size = (whole < 0 ? 0 - static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole)) % prime_of(i);
    value.residues[i] = whole < 0 && size > 0 ? prime_of(i) - size : size;
  }
  value.exact = true;
  return value;
}

Value constant(Complex c) { return everywhere(c, kEpsilon * size_of(c)); }
Value undefined() { return everywhere(std::nanl(""), 0); }
Value pi() { return transcendental(std::numbers::pi_v<long double>, "pi"); }
Value euler() { return transcendental(std::numbers::e_v<long double>, "e"); }
Value imaginary_unit() { return everywhere(Complex(0, 1), 0); }
Value infinity() { return variable("infty"); }
Value variable(std::string_view name) { return drawn(key_of(name), name); }

Value opaque(std::string_view name, const Value& argument) {
  uint64_t key = key_of(name);
  for (const uint64_t residue : argument.residues) { key = stream_key(key, argument.exact ? residue : 0); }
  if (!argument.exact) {  // to ten digits, so that rounding does not matter
    for (const Point& point : argument.points) {
      const auto rounded = static_cast<int64_t>(std::clamp(point.at.real(), -1e8L, 1e8L) * 1e10L);
      key = stream_key(key, static_cast<uint64_t>(rounded));
    }
  }
  return drawn(key, name);
}

Value add(const Value& a, const Value& b) {
  Value made = combine(a, b, [](const Point& x, const Point& y) -> Point {
    const Complex at = x.at + y.at;
    const bool rounded = x.at != Complex(0) && y.at != Complex(0);
    return {at, x.error + y.error + (rounded ? kEpsilon * size_of(at) : 0), false};
  });
  for (size_t i = 0; i < made.residues.size(); ++i) {
    made.residues[i] = (a.residues[i] + b.residues[i]) % prime_of(i);
  }
  return made;
}

Value negate(const Value& a) { return multiply(number(-1), a); }
Value subtract(const Value& a, const Value& b) { return add(a, negate(b)); }

Value multiply(const Value& a, const Value& b) {
  Value made = combine(a, b, [](const Point& x, const Point& y) -> Point {
    const Complex at = x.at * y.at;
    const long double carried = size_of(x.at) * y.error + size_of(y.at) * x.error + x.error * y.error;
    return {at, carried + kEpsilon * size_of(at), false};
  });
  for (size_t i = 0; i < made.residues.size(); ++i) {
    made.residues[i] = times(a.residues[i], b.residues[i], prime_of(i));
  }
  return made;
}

// A zero below a fraction leaves nothing that could be equal to anything.
Value divide(const Value& a, const Value& b) {
  Value made = combine(a, b, [](const Point& x, const Point& y) -> Point {
    if (!(size_of(y.at) > kSlack * y.error)) { return {Complex(std::nanl("")), 0, false}; }
    const Complex at = x.at / y.at;
    return {at, (x.error + size_of(at) * y.error) / size_of(y.at) + kEpsilon * size_of(at), false};
  });
  for (size_t i = 0; i < made.residues.size(); ++i) {
    const uint64_t prime = prime_of(i);
    if (b.exact && b.residues[i] == 0) { return undefined(); }
    made.residues[i] = times(a.residues[i], power(b.residues[i], prime - 2, prime), prime);
  }
  return made;
}

Value raise(const Value& base, const Value& exponent) {
  const bool variables = base.has_variables || exponent.has_variables;
  Value made = combine(base, exponent, [&](const Point& x, const Point& y) { return raised(x, y, variables); });
  made.exact = false;
  const auto n = whole(exponent);
  if (!n || !base.exact) { return made; }
  const Value positive = *n < 0 ? divide(number(1), base) : base;
  if (!positive.exact) { return positive; }  // a power of 1 / 0
  for (size_t i = 0; i < made.residues.size(); ++i) {
    made.residues[i] = power(positive.residues[i], static_cast<uint64_t>(std::abs(*n)), prime_of(i));
  }
  made.exact = true;
  return made;
}

Value root(const Value& a, const Value& degree) {
  const auto n = whole(degree);
  if (n && *n == 2) {
    if (const auto square = whole(a); square && *square >= 0) {
      const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(*square))));
      if (side * side == *square) { return number(side); }
    }
    return *apply_function("sqrt", a);
  }
  if (n && *n % 2 != 0) {
    const auto of_odd_degree = [&](const Complex& x) {
      const bool negative = x.imag() == 0 && x.real() < 0;
      const Complex size = std::pow(negative ? -x : x, 1.0L / static_cast<long double>(*n));
      return negative ? -size : size;
    };
    return map(a, of_odd_degree, never);
  }
  return raise(a, divide(number(1), degree));
}

Value absolute(const Value& a) {
  if (a.exact && !a.has_variables && std::isfinite(a.points[0].at.real())) {
    return a.points[0].at.real() < 0 ? negate(a) : a;
  }
  return map(
      a, [](const Complex& x) { return Complex(std::abs(x)); }, never);
}

Value factorial(const Value& n) {
  const auto size = whole(n);
  if (size && (*size < 0 || *size > kMaxFactorial)) { return undefined(); }
  if (!size) { return map(n, gamma_of, never); }
  Value made = number(1);
  long double product = 1;
  for (int64_t i = 2; i <= *size; ++i) {
    product *= static_cast<long double>(i);
    for (size_t r = 0; r < made.residues.size(); ++r) {
      made.residues[r] = times(made.residues[r], static_cast<uint64_t>(i), prime_of(r));
    }
  }
  made.points.fill({product, product * kEpsilon * static_cast<long double>(*size), false});
  return made;
}

Value binomial(const Value& n, const Value& k) {
  const auto chosen = whole(k);
  if (chosen && (*chosen < 0 || *chosen > kMaxChosen)) {
    const auto of = whole(n);
    if (!of || *of < *chosen || *chosen < 0) { return undefined(); }
    return *of - *chosen > kMaxChosen ? undefined() : binomial(n, number(*of - *chosen));
  }
  if (!chosen) { return divide(factorial(n), multiply(factorial(k), factorial(subtract(n, k)))); }
  Value above = number(1);
  Value below = number(1);
  for (int64_t i = 0; i < *chosen; ++i) {
    above = multiply(above, subtract(n, number(i)));
    below = multiply(below, number(i + 1));
  }
  return divide(above, below);
}

bool is_function(std::string_view name) {
  return std::any_of(kFunctions.begin(), kFunctions.end(), [&](const Known& known) { return known.name == name; });
}

std::optional<Value> apply_function(std::string_view function, const Value& argument) {
  for (const Known& known : kFunctions) {
    if (known.name == function) { return map(argument, known.fn, known.leaves); }
  }
  return std::nullopt;
}

std::optional<int64_t> whole(const Value& value) {
  const Complex at = value.points[0].at;
  const long double rounded = std::round(at.real());
  if (!value.exact || value.has_variables || !(std::abs(rounded) < 1e15L)) { return std::nullopt; }
  const auto n = static_cast<int64_t>(rounded);
  return value.residues == number(n).residues ? std::optional(n) : std::nullopt;
}

std::optional<long double> real_number(const Value& value) {
  const Point& point = value.points[0];
  const bool real = size_of(point.at.imag()) <= kSlack * point.error;
  if (value.has_variables || !real || !std::isfinite(point.at.real())) { return std::nullopt; }
  return point.at.real();
}

bool is_infinity(const Value& value) { return value.has_variables && same_value(value, infinity()); }

bool same_value(const Value& a, const Value& b) {
  if (a.exact && b.exact) { return a.residues == b.residues; }
  return at_points_that_count(a, b, agree);
}

int proportional(const Value& a, const Value& b) {
  const Complex ratio = a.points[0].at / b.points[0].at;
  if (!std::isfinite(size_of(ratio)) || ratio == Complex(0)) { return 0; }
  if (a.exact && b.exact) {
    for (size_t i = 0; i < a.residues.size(); i += 2) {
      const uint64_t prime = prime_of(i);
      if (times(a.residues[i], b.residues[i + 1], prime) != times(a.residues[i + 1], b.residues[i], prime)) {
        return 0;
      }
    }
  } else {
    Value factor = constant(ratio);
    const Point& point = a.points[0];
    const long double relative = point.error / size_of(point.at) + b.points[0].error / size_of(b.points[0].at);
    for (Point& at : factor.points) { at.error += size_of(ratio) * relative; }
    if (!same_value(a, multiply(factor, b))) { return 0; }
  }
  return ratio.real() < 0 ? -1 : 1;
}

}  // namespace vortex::evals
