#include "evals/grading/math.h"

#include "evals/grading/answer.h"
#include "evals/grading/extract.h"

namespace vortex::evals {

MathGrade grade_math(std::string_view reference, std::string_view output) {
  const Extract found = extract_answer(output);
  if (found.text.empty()) { return {false, "", found.rule}; }
  return {same_answer(reference, found.text), found.text, found.rule};
}

}  // namespace vortex::evals
