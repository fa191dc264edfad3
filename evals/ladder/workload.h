#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "core/engine/workload/turns.h"
#include "core/model/model.h"
#include "evals/ladder/session.h"

namespace vortex::evals {

// Does the speed stage decode fixed work behind the task's own prompts? What the task says; where it says nothing, only
// the chain task on the CPU, whose recorded searches did.
bool measures_fixed_work(const job::TaskSpec& task, bool on_device);

// Tokens of the longest request that the task's workload may have, prompts of `longest_prompt` tokens given, on a model
// of so many positions; 0 where it needs no more than the task's problems do.
int workload_context(const job::TaskSpec& task, int longest_prompt, int positions);

// What the speed stage serves.
struct ServedLoad {
  engine::Load load;
  nlohmann::json evidence;  // where the lengths come from, and what they are
};

// The task's workload on this session's problems, engine and device. Answers are as long as those that dense attention
// gave in this search; where the job brings none along, as this climb's own; where it did not race either, as long as
// they may be. Or they are drawn from a log-normal distribution. Requests that the engine's context cannot hold are
// cut. The engine is left with dense attention set.
Result<ServedLoad> served_load(Session& session);

}  // namespace vortex::evals
