#pragma once

#include <optional>
#include <vector>

#include "evals/grading/value.h"
#include "evals/grading/words.h"

namespace vortex::evals {

// What an expression comes to: a number with its unit, or a matrix of numbers.
struct Term {
  Value value;
  Unit unit;
  std::vector<Value> cells;  // of a matrix, row by row
  size_t columns = 0;        // 0: no matrix

  bool is_matrix() const { return columns > 0; }
};

// Arithmetic of terms; nothing where there is none: sums of metres and seconds, powers of matrices.
std::optional<Term> sum_of(const Term& a, const Term& b, bool minus);
std::optional<Term> product_of(const Term& a, const Term& b);
std::optional<Term> quotient_of(const Term& a, const Term& b);
std::optional<Term> power_of(const Term& base, const Term& exponent);
// The pure number that a term is; degrees as radians.
std::optional<Value> pure(const Term& term);

}  // namespace vortex::evals
