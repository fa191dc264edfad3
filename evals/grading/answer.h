#pragma once

#include <string_view>

namespace vortex::evals {

enum class Agreement {
  kSame,
  kDifferent,
  kUnreadable,  // one of the two is not understood, so nothing is known
};

// Do two answers say the same? Each may be a number or an expression, a list or set of them (in any order), a tuple, an
// interval or union of intervals, an equation or inequality, a matrix, a ratio, or words (docs/tasks.md says what is
// understood and what counts as the same). An approximation is not its exact value: 0.333 is not 1/3. What is written
// alike, but for spacing and fonts, is the same even where it is not understood. Total: any bytes get an agreement, in
// time bounded by the square of their length; answers of more than 1,000 bytes are compared as texts.
Agreement agreement(std::string_view reference, std::string_view answer);

}  // namespace vortex::evals
