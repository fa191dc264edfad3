#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Python's operations on strings, on UTF-8: positions count characters.
namespace vortex::model::jinja {

size_t count_characters(std::string_view text);
std::vector<std::string_view> characters(std::string_view text);

// Without the characters of `set` at its ends; none: white space as Python's str.isspace() sees it.
std::string_view strip(std::string_view text, const std::optional<std::string>& set, bool left, bool right);

// At white space, or at every `separator` (not empty), `limit` times at most (negative: always). `from_right` counts
// the limit from the end.
std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator, int64_t limit,
                               bool from_right);
std::vector<std::string> split_at_line_breaks(std::string_view text);

// `limit` times at most, from the left; negative: every one. `from` may be empty, as in Python.
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit);

enum class Case { kLower, kUpper, kCapital, kTitle };
// Letters beyond ASCII are refused: their cases need tables that we do not have.
Result<std::string> change_case(std::string_view text, Case to);
// Jinja's filter `title`: capitals behind white space, hyphens and opening brackets only.
Result<std::string> filter_title(std::string_view text);

// A date as Python's strftime writes it; `date` is "YYYY-MM-DD", its time is midnight. A directive outside C's is an
// error.
Result<std::string> format_date(const std::string& date, const std::string& format);

}  // namespace vortex::model::jinja
