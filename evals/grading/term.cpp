#include "evals/grading/term.h"

#include <utility>

namespace vortex::evals {

std::optional<Term> sum_of(const Term& a, const Term& b, bool minus) {
  if (a.columns != b.columns || a.cells.size() != b.cells.size() || !(a.unit == b.unit)) { return std::nullopt; }
  Term made = a;
  const auto sum = [&](const Value& x, const Value& y) { return minus ? subtract(x, y) : add(x, y); };
  made.value = sum(a.value, b.value);
  for (size_t i = 0; i < made.cells.size(); ++i) { made.cells[i] = sum(a.cells[i], b.cells[i]); }
  return made;
}

std::optional<Term> product_of(const Term& a, const Term& b) {
  const auto unit = times(a.unit, b.unit, 1);
  if (!unit) { return std::nullopt; }
  Term made;
  made.unit = *unit;
  if (!a.is_matrix() && !b.is_matrix()) {
    made.value = multiply(a.value, b.value);
    return made;
  }
  if (!a.is_matrix() || !b.is_matrix()) {
    const Term& matrix = a.is_matrix() ? a : b;
    made.columns = matrix.columns;
    for (const Value& cell : matrix.cells) { made.cells.push_back(multiply(cell, (a.is_matrix() ? b : a).value)); }
    return made;
  }
  const size_t rows = a.cells.size() / a.columns;
  if (b.cells.size() / b.columns != a.columns) { return std::nullopt; }
  made.columns = b.columns;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < b.columns; ++column) {
      Value cell = number(0);
      for (size_t i = 0; i < a.columns; ++i) {
        cell = add(cell, multiply(a.cells[row * a.columns + i], b.cells[i * b.columns + column]));
      }
      made.cells.push_back(cell);
    }
  }
  return made;
}

std::optional<Term> quotient_of(const Term& a, const Term& b) {
  const auto unit = times(a.unit, b.unit, -1);
  if (!unit || b.is_matrix()) { return std::nullopt; }
  Term made = a;
  made.unit = *unit;
  made.value = divide(a.value, b.value);
  for (Value& cell : made.cells) { cell = divide(cell, b.value); }
  return made;
}

std::optional<Term> power_of(const Term& base, const Term& exponent) {
  const auto by = pure(exponent);
  if (!by || base.is_matrix()) { return std::nullopt; }
  Term made;
  made.value = raise(base.value, *by);
  if (base.unit.none()) { return made; }
  const auto n = whole(*by);
  if (!n || *n < -9 || *n > 9) { return std::nullopt; }
  const auto unit = times({}, base.unit, static_cast<int>(*n));
  if (!unit) { return std::nullopt; }
  made.unit = *unit;
  return made;
}

std::optional<Value> pure(const Term& term) {
  if (term.is_matrix()) { return std::nullopt; }
  if (term.unit.none()) { return term.value; }
  if (term.unit == Unit{{{"degree", 1}}, 1, 1}) { return divide(multiply(term.value, pi()), number(180)); }
  return std::nullopt;
}

}  // namespace vortex::evals
