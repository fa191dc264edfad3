#include "fleet/roster.h"

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "base/json.h"
#include "base/json_reader.h"

namespace vortex::fleet {
namespace {

using nlohmann::json;

constexpr int kSchema = 1;

json worker_json(const WorkerView& worker) {
  return {{"name", worker.name},   {"machine", to_json(worker.machine)},
          {"state", worker.state}, {"job", worker.job},
          {"stage", worker.stage}, {"since", worker.since}};
}

json node_json(const NodeView& node) {
  return {{"workers", node.workers}, {"jobs", node.jobs},     {"busy_seconds", node.busy_seconds},
          {"seconds", node.seconds}, {"faults", node.faults}, {"last_fault", node.last_fault}};
}

Result<WorkerView> read_worker(const json& object) {
  WorkerView worker;
  JsonReader reader(object, "worker");
  reader.required("name", worker.name);
  reader.required("state", worker.state);
  reader.required("job", worker.job);
  reader.required("stage", worker.stage);
  reader.required("since", worker.since);
  const json* machine = reader.find("machine", true);
  VORTEX_TRY(reader.finish());
  VORTEX_ASSIGN(worker.machine, machine_from_json(*machine));
  return worker;
}

Result<NodeView> read_node(const json& object) {
  NodeView node;
  JsonReader reader(object, "node");
  reader.required("workers", node.workers);
  reader.required("jobs", node.jobs);
  reader.required("busy_seconds", node.busy_seconds);
  reader.required("seconds", node.seconds);
  reader.required("faults", node.faults);
  reader.required("last_fault", node.last_fault);
  VORTEX_TRY(reader.finish());
  return node;
}

}  // namespace

json to_json(const Roster& roster) {
  json workers = json::array();
  for (const WorkerView& worker : roster.workers) { workers.push_back(worker_json(worker)); }
  json nodes = json::object();
  for (const auto& [name, node] : roster.nodes) { nodes[name] = node_json(node); }
  return {
      {"schema", kSchema}, {"run", roster.run}, {"updated", roster.updated}, {"workers", workers}, {"nodes", nodes}};
}

Result<Roster> roster_from_json(const json& object) {
  Roster roster;
  int schema = 0;
  JsonReader reader(object, "roster");
  reader.required("schema", schema);
  reader.required("run", roster.run);
  reader.required("updated", roster.updated);
  const json* workers = reader.find("workers", true);
  const json* nodes = reader.find("nodes", true);
  if (schema != kSchema) { reader.refuse("schema", "is of another program"); }
  VORTEX_TRY(reader.finish());
  for (const json& item : *workers) {
    VORTEX_ASSIGN(WorkerView worker, read_worker(item));
    roster.workers.push_back(std::move(worker));
  }
  for (const auto& [name, item] : nodes->items()) { VORTEX_ASSIGN(roster.nodes[name], read_node(item)); }
  return roster;
}

std::string roster_path(const std::string& workspace) {
  return (std::filesystem::path(workspace) / "workers" / "roster.json").string();
}

void write_roster(const Roster& roster, const std::string& path) {
  const std::string temporary = path + ".new";
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << to_json(roster).dump(-1, ' ', false, json::error_handler_t::replace);
  file.close();
  std::error_code ec;
  if (file) { std::filesystem::rename(temporary, path, ec); }
}

Result<Roster> read_roster(const std::string& path, const std::string& run) {
  VORTEX_ASSIGN(const std::string text, read_file(path));
  VORTEX_ASSIGN(Roster roster, roster_from_json(parse_json(text)));
  if (roster.run != run) { return candidate_error("the roster is of another search"); }
  return roster;
}

}  // namespace vortex::fleet
