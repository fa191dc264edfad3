#pragma once

#include <string>
#include <string_view>

namespace vortex::evals {

// The answer that an output gives, as it is written there; empty where there is none.
struct Extract {
  std::string text;
  std::string rule;  // how it was found, or why nothing was
};

// By the first rule that finds something:
//   boxed        the contents of the last \boxed{} or \fbox{} whose braces are closed and not empty, with those of the
//                boxes before it that only a comma or "and" stands between;
//   stated       what follows the last "answer is", "answer:" or "answer =", or stands below the heading "Answer": to
//                the end of its clause, without words that say nothing about the value. Where a sentence stands there,
//                what it says that something is;
//   last number  the last number, or the whole formula that it stands in, with a word before or behind it that changes
//                its value; where there is no number the last formula.
Extract extract_answer(std::string_view output);

// The answer that the reference of a data set gives: what is boxed in it, or stands behind "####", or all of it.
std::string reference_answer(std::string_view reference);

}  // namespace vortex::evals
