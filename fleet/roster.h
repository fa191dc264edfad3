#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/message.h"

namespace vortex::fleet {

// A worker that is connected, as people see it.
struct WorkerView {
  std::string name;
  Machine machine;
  std::string state;  // preparing, idle, running, resting, leaving
  std::string job;    // that it runs: "candidate-7-1"
  std::string stage;  // that it is at
  double since = 0;   // seconds that it has been at it
};

// What a node has done for the search so far, whichever workers it had.
struct NodeView {
  int workers = 0;  // that have joined from it
  int jobs = 0;     // that came to their end
  double busy_seconds = 0;
  double seconds = 0;  // that its workers were there, together
  int faults = 0;      // outside candidates
  std::string last_fault;
};

struct Roster {
  std::string run;
  double updated = 0;  // on the wall clock
  std::vector<WorkerView> workers;
  std::map<std::string, NodeView> nodes;
};

nlohmann::json to_json(const Roster& roster);
Result<Roster> roster_from_json(const nlohmann::json& json);

// Where a workspace keeps the roster of the search that runs on several machines: written every other second, read by
// whoever shows it. What it says is also in rows; it may be lost at any time.
std::string roster_path(const std::string& workspace);
// Replaces the file in one step.
void write_roster(const Roster& roster, const std::string& path);
// Of this run; an Error where there is none.
Result<Roster> read_roster(const std::string& path, const std::string& run);

}  // namespace vortex::fleet
