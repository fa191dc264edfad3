#include "evals/tasks/task.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "evals/tasks/chain.h"
#include "evals/tasks/needles.h"
#include "evals/tasks/questions.h"
#include "evals/tasks/tracking.h"
#include "evals/tasks/word_counts.h"

namespace vortex::evals {
namespace {

constexpr std::array<const Task*, 6> kTasks = {&kChainTask,    &kQuestionsTask,   &kNeedlesTask,
                                               &kTrackingTask, &kCommonWordsTask, &kFrequentWordsTask};

}  // namespace

Result<const Task*> find_task(std::string_view kind) {
  std::vector<std::string> kinds;
  for (const Task* task : kTasks) {
    if (task->kind == kind) { return task; }
    kinds.emplace_back(task->kind);
  }
  return candidate_error("no task is called \"" + std::string(kind) + "\"", "tasks: " + join(kinds, ", "));
}

Result<std::vector<Problem>> make_problems(const job::TaskSpec& spec, const CountTokens& count) {
  VORTEX_ASSIGN(const Task* task, find_task(spec.kind));
  VORTEX_TRY(task->check(spec));
  std::vector<Problem> problems;
  for (int number = 0; number < spec.problems; ++number) {
    VORTEX_ASSIGN(Problem problem, task->make_problem(spec, number, count));
    problems.push_back(std::move(problem));
  }
  return problems;
}

int context_bound(const job::TaskSpec& spec) {
  const Result<const Task*> task = find_task(spec.kind);
  const int bound = task.ok() ? (*task)->context_bound(spec) : 0;
  if (!spec.workload || spec.workload->answers != "lognormal") { return bound; }
  const int prompt = spec.workload->prompt > 0 ? spec.workload->prompt : bound - spec.max_new_tokens;
  return std::max(bound, prompt + spec.workload->longest);
}

}  // namespace vortex::evals
