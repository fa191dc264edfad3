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
//   boxed        the contents of the last \boxed{} or \fbox{} whose braces are closed;
//   stated       what follows the last "answer is", "answer:" or "answer =", to the end of its sentence: of that, the
//                first formula between dollars, if nothing but words stands before it;
//   last number  the last number, or the whole formula between dollars that it stands in.
Extract extract_answer(std::string_view output);

}  // namespace vortex::evals
