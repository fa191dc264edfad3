#pragma once

#include <string>
#include <vector>

#include "evals/grading/lexer.h"

namespace vortex::evals {

// A quantity that an answer may state the value of.
struct Name {
  std::string text;          // "x_1", "f()", "AB", "x,y", "NO/BO"; empty where it is no name
  bool descriptive = false;  // words, such as "Area"
};

// The tokens [begin, end), whose brackets match, as a name: letters with scripts, f(x), |AB|, \angle ABC, ratios and
// tuples of these, words. Not sums, powers, or products with numbers.
Name name_of(const std::vector<Token>& tokens, size_t begin, size_t end);

// Does `a` name the same quantity as `b`? Words may name any.
bool may_be_same_name(const Name& a, const Name& b);

// The letters of a name without its scripts: "x" for "x_1".
std::string base_of(const std::string& name);

}  // namespace vortex::evals
