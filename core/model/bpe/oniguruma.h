#pragma once

#include <string>

#include "base/result.h"

namespace vortex::model {

// A pattern of tokenizer.json, which is in Oniguruma's Ruby syntax, in that of PCRE2 (with UTF and UCP) that matches
// the same: ^ and $ are anchors of lines, (?m) lets the dot match line breaks, {n,m}+ repeats an interval and {n}?
// makes it optional, {,m} begins at 0, \s is the property White_Space, and categories know the characters of Unicode
// 16, which older PCRE2 do not. What the two engines read differently and is not translated is refused by name.
Result<std::string> oniguruma_to_pcre2(const std::string& pattern);

}  // namespace vortex::model
