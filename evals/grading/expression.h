#pragma once

#include <optional>
#include <vector>

#include "evals/grading/lexer.h"
#include "evals/grading/term.h"

namespace vortex::evals {

// Evaluates the tokens [begin, end), whose brackets match: numbers, mixed numbers and numerals to a base, + - * / ^ !,
// implicit products, fractions, roots, binomials, |x|, floor and ceiling, remainders, common functions, pi, e, i,
// variables, f(x), sums over an index, matrices, units behind numbers. What a function without brackets is applied to
// ends at a sum, a bracket or another function; where that leaves doubt there is no value. Nothing either when it is no
// expression, or one nested too deeply.
std::optional<Term> evaluate(const std::vector<Token>& tokens, size_t begin, size_t end);

}  // namespace vortex::evals
