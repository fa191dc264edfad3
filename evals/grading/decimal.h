#pragma once

#include <string_view>

#include "evals/grading/value.h"

namespace vortex::evals {

bool all_digits(std::string_view text);

// The number that decimal digits write to a base.
Value digits_to_base(std::string_view text, int64_t base);

// 12, 3.5, .5, and 0.1(6) for a decimal that repeats, exactly.
Value decimal(std::string_view text);

}  // namespace vortex::evals
