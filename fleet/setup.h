#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/manifest.h"
#include "job/job.h"

namespace vortex::fleet {

// Of the silence that is allowed: between two signs of life at most.
inline constexpr double kBeatShare = 0.25;

// What all workers of a search are told once, before their first task.
struct Setup {
  Manifest model;
  job::Job job;                      // what its candidates share; dense: its model and prompts are kept
  std::vector<job::TaskSpec> ahead;  // read by a keeper while nobody needs the processor
  bool keep = true;                  // a keeper holds weights and prompts
  double stage_seconds = 0;          // deadline of every stage; 0: from what it should cost
  int64_t memory_bytes = 0;          // address space of a worker process; 0: no limit
  double silence_seconds = 75;       // that either end may be silent for, before the other gives it up
  std::string require_sandbox;       // as the search's options have it
  std::string sandbox_without;
};

nlohmann::json to_json(const Setup& setup);
Result<Setup> setup_from_json(const nlohmann::json& json);

}  // namespace vortex::fleet
