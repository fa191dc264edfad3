#pragma once

#include <array>
#include <complex>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vortex::evals {

// The value of an expression at a few fixed points: every variable has a value of its own at each. Two expressions that
// agree at all of them are equal but for a negligible chance (Schwartz 1980, Zippel 1979). Rational arithmetic, however
// large, is done exactly modulo two primes near 2^61; roots, pi and functions in double precision.
struct Value {
  std::array<std::complex<double>, 3> at{};
  std::array<uint64_t, 2> residue{};
  bool exact = false;  // the residues count
  bool has_variables = false;
};

// Are they equal? By residues where both are exact, else to a relative 1e-12 at every point.
bool same_value(const Value& a, const Value& b);
Value scaled(const Value& value, int64_t numerator, int64_t denominator);

// Evaluates LaTeX or plain notation that `clean` has gone over (evals/grading/clean.h): numbers, + - * / ^ !, implicit
// products, mixed numbers, \frac, \sqrt[n]{}, \binom, |x|, floor and ceiling, common functions, pi, e, i, variables
// (letters, Greek ones, subscripts; four letters and more are one word). \infty is a variable of its own. Nothing when
// it is no expression, or one nested too deeply. Never fails otherwise, whatever the bytes.
std::optional<Value> evaluate(std::string_view text);

}  // namespace vortex::evals
