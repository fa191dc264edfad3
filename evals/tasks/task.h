#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "job/task_spec.h"

namespace vortex::evals {

struct Problem {
  std::string id;                    // stable and unique over tasks, sizes and seeds
  std::string prompt;                // text for the tokenizer, or for the chat template where the task says so
  std::string answer_start;          // what the answer begins with; follows the prompt
  std::vector<std::string> answers;  // what a right output states, e.g. "042": each is graded by itself
  std::string solution;              // a whole right output where the task knows one, else empty
};

// What a grader made of one output. `rule` says how `extracted` was found, or why nothing was.
struct Grade {
  bool correct = false;
  std::string extracted;
  std::string rule;
};

// Tokens of a problem's whole prompt as the model gets it.
using CountTokens = std::function<Result<size_t>(const Problem&)>;

// One kind of problems. A new kind is one file with such a record and one line in task.cpp.
struct Task {
  std::string_view kind;
  // Says what is wrong with a specification; make_problem may rely on it.
  Status (*check)(const job::TaskSpec& spec);
  // The problem of a number in [0, spec.problems): depends on the specification and the number alone (for synthetic
  // kinds on `count`, too, which fills the prompt up to spec.length), so a longer list begins with the shorter one.
  Result<Problem> (*make_problem)(const job::TaskSpec& spec, int number, const CountTokens& count);
  // Grades the text of the generated tokens against one of the answers. Total: any text gets a grade.
  Grade (*grade)(const std::string& answer, std::string_view output);
  // No request has more tokens, whatever the tokenizer: for checks that come before one is loaded.
  int (*context_bound)(const job::TaskSpec& spec);
  bool sees_special_tokens = false;  // is the stop token part of that text?
};

// The task of a kind; an unknown kind is the candidate's fault.
Result<const Task*> find_task(std::string_view kind);

// All problems of a specification. Synthetic kinds need `count`.
Result<std::vector<Problem>> make_problems(const job::TaskSpec& spec, const CountTokens& count = {});

// The bound of the specification's kind; 0 for an unknown one.
int context_bound(const job::TaskSpec& spec);

}  // namespace vortex::evals
