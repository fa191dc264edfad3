#pragma once

#include <string>
#include <string_view>

namespace vortex::cli {

// The unified diff of two texts, with three lines of context, by their longest common subsequence of lines; empty when
// they are equal. Quadratic in the number of lines, so texts of thousands of lines are not aligned: all of one is
// replaced by all of the other.
std::string line_diff(std::string_view a, std::string_view b);

}  // namespace vortex::cli
