#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "evals/statistics.h"
#include "job/job.h"

namespace vortex::cli {

// A task tried on a model: dense attention, and a policy that looks at very little.
struct TaskTrial {
  std::string name;
  int length = 0;
  evals::Interval dense;
  evals::Interval scant;
  double seconds = 0;
};

// Can a search tell policies apart here? Dense attention must be right mostly, the scant policy much less often.
bool separates(const TaskTrial& trial);

// A task for a model of which the user names none, put into job.task: chain where the tokenizer has its words, else the
// first of the shipped tasks, from short to long, that separates. Each trial runs both sides in a worker under `job`'s
// device and threads, keeps its prompts in the job's prefix folder, and says on stderr what it found. When none
// separates, that is the candidate's error, with the table of what was found.
Status choose_task(const Context& context, job::Job& job);

}  // namespace vortex::cli
