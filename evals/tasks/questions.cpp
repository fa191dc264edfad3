#include "evals/tasks/questions.h"

#include <algorithm>

#include "evals/grading/math.h"
#include "evals/tasks/text.h"

namespace vortex::evals {
namespace {

Status check_questions(const job::TaskSpec& spec) {
  if (spec.prompt.find("{problem}") == std::string::npos) { return candidate_error("task.prompt lacks {problem}"); }
  const auto count = static_cast<int>(spec.questions.size());
  if (spec.problems > count) {
    return candidate_error("task.problems is " + std::to_string(spec.problems) + ", but " + spec.data + " has " +
                           std::to_string(count));
  }
  return ok_status();
}

Result<Problem> make_question(const job::TaskSpec& spec, int number, const CountTokens&) {
  const job::Question& question = spec.questions[static_cast<size_t>(number)];
  Problem problem;
  problem.id = spec.data + "-" + question.id;
  problem.prompt = filled(spec.prompt, {{"{problem}", question.problem}});
  problem.answer_start = spec.answer_start;
  problem.answers = {question.answer};
  return problem;
}

Grade grade_question(const std::string& answer, std::string_view output) {
  const auto said = without_thinking(output);
  if (!said) { return {false, "", kThoughtWithoutEnd}; }
  const MathGrade grade = grade_math(answer, *said);
  return {grade.correct, grade.extracted, grade.rule};
}

constexpr size_t kTemplateTokens = 256;  // more than any chat template puts around a message

int questions_bound(const job::TaskSpec& spec) {
  size_t longest = 0;  // a token stands for a byte at least
  for (const job::Question& question : spec.questions) { longest = std::max(longest, question.problem.size()); }
  const size_t prompt = longest + spec.prompt.size() + spec.answer_start.size() + (spec.chat ? kTemplateTokens : 1);
  return static_cast<int>(prompt) + spec.max_new_tokens;
}

}  // namespace

const Task kQuestionsTask = {"questions", check_questions, make_question, grade_question, questions_bound};

}  // namespace vortex::evals
