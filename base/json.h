#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace vortex {

inline constexpr int kMaxJsonDepth = 100;  // no file that we read is nested half as deep

// How deep the brackets of a text go, those in strings left out. Whether it is JSON does not matter.
int json_depth(std::string_view text);

// Is there a zero byte? JSON has none, not even in a string. nlohmann::json (3.11.2, lexer.hpp) takes one for the end
// of the text and what is behind it for nothing, so whoever parses foreign bytes asks first.
bool has_zero_byte(std::string_view text);

// Parses JSON that came from outside. What is no JSON, holds a zero byte, or is nested deeper than kMaxJsonDepth,
// becomes a discarded value, which is of no type: copying, comparing and writing a value take stack for each level of
// it. A byte order mark at the beginning is skipped. What Python writes for numbers that JSON does not have is read:
// NaN, which pandas puts where something is missing, as null, Infinity and -Infinity as these words.
nlohmann::json parse_json(std::string_view text);

// The same for text of which a part may be of use: values nested deeper than `depth` are left out of it, and nothing is
// skipped or mended. What is no JSON, or holds a zero byte, becomes a discarded value.
nlohmann::json parse_json_to_depth(std::string_view text, int depth);

}  // namespace vortex
