#pragma once

#include <array>
#include <complex>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vortex::evals {

using Complex = std::complex<long double>;

// A value at one point: every variable has a value of its own there.
struct Point {
  Complex at;
  long double error = 0;   // how far rounding may have taken it from the true one
  bool off_reals = false;  // a root, logarithm or power of a variable left the real numbers on the way
};

// The value of an expression at a few fixed points. Two expressions that agree at all of them are equal but for a
// negligible chance (Schwartz 1980, Zippel 1979). Rational arithmetic, however large, is done exactly modulo two primes
// near 2^61 at two points each, where pi and e are as good as variables; all else in extended precision with a bound on
// its error, at points where variables are small, large, positive and negative.
struct Value {
  std::array<Point, 12> points{};
  std::array<uint64_t, 4> residues{};  // modulo the first prime at two points, then modulo the second
  bool exact = false;                  // the residues count
  bool has_variables = false;
};

Value number(int64_t whole);
Value constant(Complex c);
Value pi();
Value euler();
Value imaginary_unit();
Value infinity();  // a variable of its own: finite at every point
Value variable(std::string_view name);
// What an unknown function, named, gives for an argument: a variable that depends on both.
Value opaque(std::string_view name, const Value& argument);
Value undefined();  // equal to nothing, itself included

Value add(const Value& a, const Value& b);
Value subtract(const Value& a, const Value& b);
Value multiply(const Value& a, const Value& b);
Value divide(const Value& a, const Value& b);
Value negate(const Value& a);
Value raise(const Value& base, const Value& exponent);
Value root(const Value& a, const Value& degree);  // an odd root of a negative number is negative
Value absolute(const Value& a);
// n! and n over k; by the gamma function where n is no whole number from 0 to 10,000.
Value factorial(const Value& n);
Value binomial(const Value& n, const Value& k);
bool is_function(std::string_view name);
// A known function, sin or arctan or ln; nothing for an unknown name.
std::optional<Value> apply_function(std::string_view function, const Value& argument);

// The whole number below 10^15 that a value is, if it is one.
std::optional<int64_t> whole(const Value& value);
// The real number that a value is, if it is one.
std::optional<long double> real_number(const Value& value);
bool is_infinity(const Value& value);

// Are they equal? By residues where both are exact; else, to rounding, at every point where both are real, or at all
// points where hardly any is.
bool same_value(const Value& a, const Value& b);
// Is a = c b with the same constant c at all points? Then the sign of c, else 0.
int proportional(const Value& a, const Value& b);

}  // namespace vortex::evals
