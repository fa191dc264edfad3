#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vortex {

// The member of `known` nearest to `word` by edit distance, if near enough to be a likely misspelling.
std::optional<std::string> nearest_word(std::string_view word, const std::vector<std::string>& known);

// With A to Z made small; bytes above 127 stay.
std::string lower_ascii(std::string_view text);

// At most `most` bytes, never half a character; of a longer text the beginning, and "..." behind it.
std::string clipped(std::string_view text, size_t most);
// The same, with the end as well: what is wrong is often said there.
std::string clipped_middle(std::string_view text, size_t most);

// What stands before the first line feed, or all.
std::string first_line(std::string_view text);

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split_lines(std::string_view text);

// The shortest decimal that reads back as the same double; integers print without a fraction ("2", "0.09", "1e-12").
std::string format_number(double value);
// `value` with so many digits behind the point.
std::string fixed(double value, int digits);

// Tokens of a text where nobody counted them: a token is about four bytes of English or code.
int64_t estimated_tokens(std::string_view text);

}  // namespace vortex
