#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evals/grading/lexer.h"

namespace vortex::evals {

// Looking ahead in tokens whose brackets match.

// The first token in [begin, end) outside all brackets that is this command or sign; `end` when there is none.
size_t find_at_top(const std::vector<Token>& tokens, size_t begin, size_t end, TokenKind kind, std::string_view text);

// The tokens [begin, end) as one text, without braces.
std::string joined(const std::vector<Token>& tokens, size_t begin, size_t end);

// Where the script behind `at`, which is _ or ^, ends; `at` itself where there is none.
size_t script_end(const std::vector<Token>& tokens, size_t at, size_t end);

// Do two whole numbers follow, each in braces or not? The arguments of a \frac that makes a mixed number.
bool are_two_numbers(const std::vector<Token>& tokens, size_t at, size_t end);

}  // namespace vortex::evals
