#pragma once

#include <string>
#include <string_view>

namespace vortex::evals {

// What came of grading an output against a reference answer in mathematics.
struct MathGrade {
  bool correct = false;
  std::string extracted;  // the answer as the output writes it
  std::string rule;  // "boxed", "stated", "last number"; "unreadable" where it or the reference is not understood; or
                     // why there is none
};

// Finds the answer in `output` (evals/grading/extract.h) and compares it with `reference` (evals/grading/answer.h).
// Total: any bytes on both sides get a grade, in time linear in the output.
MathGrade grade_math(std::string_view reference, std::string_view output);

}  // namespace vortex::evals
