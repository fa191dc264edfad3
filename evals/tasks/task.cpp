#include "evals/tasks/task.h"

#include <array>

#include "core/base/text.h"
#include "evals/tasks/chain.h"

namespace vortex::evals {
namespace {

constexpr std::array<const Task*, 1> kTasks = {&kChainTask};

}  // namespace

Result<const Task*> find_task(std::string_view kind) {
  std::vector<std::string> kinds;
  for (const Task* task : kTasks) {
    if (task->kind == kind) return task;
    kinds.emplace_back(task->kind);
  }
  return candidate_error("no task is called \"" + std::string(kind) + "\"", "tasks: " + join(kinds, ", "));
}

Result<std::vector<Problem>> make_problems(const TaskSpec& spec) {
  VORTEX_ASSIGN(const Task* task, find_task(spec.kind));
  VORTEX_TRY(task->check(spec));
  std::vector<Problem> problems;
  for (int number = 0; number < spec.problems; ++number) problems.push_back(task->make_problem(spec, number));
  return problems;
}

}  // namespace vortex::evals
