#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "job/job.h"

namespace vortex::cli {

// What a user says about tasks; what she leaves out stays as the task file or the job has it.
struct TaskArguments {
  std::string task;               // a task file, or the name of one that ships (examples/tasks/NAME.json)
  std::string confirm_task;       // the same, for the held-out problems
  std::vector<std::string> gate;  // the same, for the gate stage
  std::optional<int> problems;
  std::optional<int> trials;
  std::optional<int> length;
  std::optional<int> max_new_tokens;
  std::optional<int> definitions;
  std::optional<int> chain;
  std::optional<uint64_t> seed;
  std::string workload;  // dense, fixed, or lognormal:MEAN[,SIGMA[,LONGEST]]
};

void add_task_options(CLI::App* verb, TaskArguments& arguments);
// How a candidate's speed is measured, and for how long.
void add_speed_options(CLI::App* verb, job::Job& job);

// Puts the tasks into a job, and the gate among its stages where it is asked for.
Status apply_tasks(const TaskArguments& arguments, job::Job& job);

}  // namespace vortex::cli
