// Any bytes as a reference and an output, separated by the first NUL, get a grade; as two answers they get compared.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "evals/grading/answer.h"
#include "evals/grading/math.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::evals;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t split = text.find('\0');
  const std::string_view output = split == std::string_view::npos ? std::string_view() : text.substr(split + 1);
  const MathGrade grade = grade_math(text.substr(0, split), output);
  if (grade.rule.empty() || (grade.correct && grade.extracted.empty())) { __builtin_trap(); }
  agreement(text.substr(0, split), output);
  return 0;
}
