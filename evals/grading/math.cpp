#include "evals/grading/math.h"

#include "evals/grading/answer.h"
#include "evals/grading/extract.h"

namespace vortex::evals {

MathGrade grade_math(std::string_view reference, std::string_view output) {
  const Extract found = extract_answer(output);
  if (found.text.empty()) { return {false, "", found.rule}; }
  const Agreement same = agreement(reference_answer(reference), found.text);
  return {same == Agreement::kSame, found.text, same == Agreement::kUnreadable ? "unreadable" : found.rule};
}

}  // namespace vortex::evals
