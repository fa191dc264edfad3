#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "evals/job.h"

namespace vortex::evals {

struct Problem {
  std::string id;        // stable and unique over tasks, sizes and seeds
  std::string prompt;    // text for the tokenizer
  std::string answer;    // what a right output states, e.g. "042"
  std::string solution;  // a whole right output where the task knows one, else empty
};

// What a grader made of one output. `rule` says how `extracted` was found, or why nothing was.
struct Grade {
  bool correct = false;
  std::string extracted;
  std::string rule;
};

// One kind of problems. A new kind is one file with such a record and one line in task.cpp.
struct Task {
  std::string_view kind;
  // Says what is wrong with a specification; make_problem may rely on it.
  Status (*check)(const TaskSpec& spec);
  // The problem of a number in [0, spec.problems): depends on spec.seed, the sizes and the number alone, so a longer
  // list begins with the shorter one.
  Problem (*make_problem)(const TaskSpec& spec, int number);
  // Grades the text of all generated tokens, stop token included. Total: any text gets a grade.
  Grade (*grade)(const Problem& problem, std::string_view output);
};

// The task of a kind; an unknown kind is the candidate's fault.
Result<const Task*> find_task(std::string_view kind);

// All problems of a specification.
Result<std::vector<Problem>> make_problems(const TaskSpec& spec);

}  // namespace vortex::evals
