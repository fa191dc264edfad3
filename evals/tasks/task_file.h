#pragma once

#include <filesystem>

#include "base/result.h"
#include "job/task_spec.h"

namespace vortex::evals {

// Reads a task file: a TaskSpec as JSON (docs/tasks.md). One of kind questions names its data set instead of containing
// it: `data` is a JSONL file (absolute, beside the task file, or in ./data), `fields` says which members of its lines
// are {id, problem, answer} (those names when absent; an id may be absent, an answer may be a number), and `problems`
// is all of them when absent. Whatever is wrong is the candidate's fault, with file and line.
Result<job::TaskSpec> read_task_file(const std::filesystem::path& path);

}  // namespace vortex::evals
