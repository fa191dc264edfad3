#pragma once

#include <string_view>

namespace vortex::evals {

// Do two answers say the same? Each may be a number or an expression, a list or set of them (in any order), a tuple, an
// interval or union of intervals, an equation or inequality, a matrix, or words. `x =` before a value, units and
// dollars count for nothing where the other side has none; n % is n or n / 100. An approximation is not its exact
// value: 0.333 is not 1/3. Total and symmetric in cost, not in units.
bool same_answer(std::string_view reference, std::string_view answer);

}  // namespace vortex::evals
