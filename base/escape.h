#pragma once

#include <string>
#include <string_view>

namespace vortex {

// Text that a stranger wrote (a policy's name, a rationale, a comment, a worker's log), made harmless for the place
// where it goes: one function a place. None of them fails; text that is harmless already comes back as it is, but for
// the quotes that a place needs.

// Letters, digits, `_` and `-`, at most 64, the first one no `-`: what a policy and its fields may be called, and what
// needs no escaping anywhere.
inline constexpr size_t kMaxNameBytes = 64;
inline constexpr std::string_view kPlainNames = "1 to 64 letters, digits, `_` and `-`, the first one no `-`";
bool is_plain_name(std::string_view text);

// One component of a path: never empty, hidden, `..` or longer than a name may be; everything else becomes `_`.
std::string path_component(std::string_view text);

// One word of a POSIX shell, in single quotes where it needs them.
std::string shell_word(std::string_view text);

// For a terminal or a log: valid UTF-8 without control characters (`?` for each), without what turns the direction of
// writing; line ends and tabs stay.
std::string terminal_text(std::string_view text);
// The same on one line.
std::string terminal_line(std::string_view text);
// JSON that means the same, with such characters as escapes.
std::string terminal_json(std::string_view json);

// Inline text of a Markdown document: on one line, every character that could mean something escaped.
std::string markdown_text(std::string_view text);
// A code block whose fence no line of the text can close. Every byte of the text stays.
std::string markdown_code(std::string_view language, std::string_view text);

// Text, or the value of an attribute in quotes, of HTML and SVG.
std::string html_text(std::string_view text);

// A C++ identifier; what cannot be part of one becomes `_`.
std::string cpp_identifier(std::string_view text);
// Comment lines. None of them goes on behind its end.
std::string cpp_comment(std::string_view text);
// A string literal with its quotes, of ASCII alone.
std::string cpp_string(std::string_view text);

}  // namespace vortex
