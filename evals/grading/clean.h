#pragma once

#include <string>
#include <string_view>

namespace vortex::evals {

// Text from \text{} and its like stands between these in what `clean` gives.
inline constexpr char kTextBegin = '\x01';
inline constexpr char kTextEnd = '\x02';

// An answer in one notation: delimiters of formulas, spacing, sizes of brackets and degrees are gone, \dfrac and the
// like are \frac, symbols beyond ASCII are their commands, `and` and `or` between formulas are commas, matrices are
// tuples of rows, a final full stop is cut off. Commas in numbers are left alone.
std::string clean(std::string_view text);

// "1,234,567" -> "1234567", for every number written so.
std::string without_thousands_separators(std::string_view text);

}  // namespace vortex::evals
