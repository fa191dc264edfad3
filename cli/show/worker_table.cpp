#include "cli/show/worker_table.h"

#include <algorithm>

#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"

namespace vortex::cli {
namespace {

std::string does(const fleet::WorkerView& worker) {
  if (worker.job.empty()) { return ""; }
  return worker.job + (worker.stage.empty() ? "" : ", " + worker.stage) + " for " + duration_text(worker.since);
}

}  // namespace

std::optional<fleet::Roster> roster_of(const std::string& workspace, const std::string& run) {
  Result<fleet::Roster> roster = fleet::read_roster(fleet::roster_path(workspace), run);
  return roster.ok() ? std::optional(std::move(roster).value()) : std::nullopt;
}

std::string worker_table(const fleet::Roster& roster, size_t most, size_t columns) {
  std::vector<fleet::WorkerView> workers = roster.workers;
  std::stable_sort(workers.begin(), workers.end(),
                   [](const auto& a, const auto& b) { return (a.state == "running") > (b.state == "running"); });
  Table table({"worker", "node", "device", "threads", "state", "does"});
  table.may_drop({"threads", "device", "node"});
  for (size_t i = 0; i < std::min(most, workers.size()); ++i) {
    const fleet::WorkerView& worker = workers[i];
    table.add({worker.name, worker.machine.node, worker.machine.device, std::to_string(worker.machine.threads),
               worker.state, does(worker)});
  }
  std::string text = table.text(columns);
  if (workers.size() > most) { text += "and " + std::to_string(workers.size() - most) + " more workers\n"; }
  return text;
}

std::vector<std::string> node_headings(NodesOf when) {
  return {"node", when == NodesOf::kNow ? "workers" : "joined", "tasks", "worker time", "busy", "faults", "last fault"};
}

std::vector<std::vector<std::string>> node_rows(const fleet::Roster& roster, NodesOf when) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, node] : roster.nodes) {
    const std::string busy = node.seconds > 0 ? fixed(100 * node.busy_seconds / node.seconds, 0) + " %" : "-";
    const auto now = std::count_if(roster.workers.begin(), roster.workers.end(),
                                   [&](const fleet::WorkerView& worker) { return worker.machine.node == name; });
    const int64_t workers = when == NodesOf::kNow ? now : node.workers;
    rows.push_back({name, std::to_string(workers), std::to_string(node.jobs), duration_text(node.seconds), busy,
                    std::to_string(node.faults), node.last_fault});
  }
  return rows;
}

}  // namespace vortex::cli
