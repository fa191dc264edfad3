#include <chrono>
#include <iostream>
#include <map>
#include <memory>

#include "cli/front_table.h"
#include "cli/loaded_run.h"
#include "cli/verbs.h"
#include "db/lock.h"

namespace vortex::cli {
namespace {

struct RunStatus {
  db::Run run;
  std::string state;  // "cut off": the database says running, but no process does
  double budget = 0;  // seconds; 0: no limit
  double age = 0;     // seconds since it was started
  int candidates = 0;
  std::map<std::string, int> verdicts;  // those without one count under their state
  size_t front = 0;
  double best_speed = 0;  // on the front, over dense; 0: no front yet
};

Result<RunStatus> status_of(db::Store& store, const db::Run& run, bool held) {
  RunStatus status;
  status.run = run;
  status.state = run.state == "running" && !held ? "cut off" : run.state;
  VORTEX_ASSIGN(const agent::SearchOptions options, options_of(run));
  status.budget = options.seconds;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  status.age = std::chrono::duration<double>(now).count() - run.started;
  VORTEX_ASSIGN(const agent::History history, agent::read_history(store, run));
  for (const agent::CandidateHistory& candidate : history.candidates) {
    ++status.candidates;
    ++status.verdicts[candidate.row.state == "done" ? candidate.row.verdict : candidate.row.state];
  }
  const std::vector<FrontRow> rows = front_rows(history, options);
  status.front = rows.size();
  if (!rows.empty()) status.best_speed = rows.back().speed.value;
  return status;
}

nlohmann::json to_json(const RunStatus& status) {
  return {{"run", status.run.name},
          {"id", status.run.id},
          {"state", status.state},
          {"started", status.run.started},
          {"ended", status.run.ended},
          {"age_seconds", status.age},
          {"seconds_used", status.run.seconds_used},
          {"seconds_budget", status.budget},
          {"candidates", status.candidates},
          {"verdicts", status.verdicts},
          {"front", status.front},
          {"best_speed_over_dense", status.best_speed > 0 ? nlohmann::json(status.best_speed) : nlohmann::json()}};
}

std::string verdicts_text(const std::map<std::string, int>& verdicts) {
  std::string text;
  for (const auto& [verdict, count] : verdicts) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + verdict;
  }
  return text.empty() ? "-" : text;
}

void print_text(const std::vector<RunStatus>& all) {
  Table table({"run", "id", "state", "candidates", "by verdict", "front", "best speed", "used", "budget", "started"});
  for (const RunStatus& status : all) {
    table.add({status.run.name, std::to_string(status.run.id), status.state, std::to_string(status.candidates),
               verdicts_text(status.verdicts), std::to_string(status.front),
               status.best_speed > 0 ? fixed(status.best_speed, 2) : "-", duration_text(status.run.seconds_used),
               status.budget > 0 ? duration_text(status.budget) : "no limit", duration_text(status.age) + " ago"});
  }
  std::cout << table.text();
}

Result<int> show_status(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(context.workspace));
  VORTEX_ASSIGN(std::vector<db::Run> runs, store->runs());
  if (!name.empty()) {
    VORTEX_ASSIGN(const db::Run run, find_run(*store, name));
    runs = {run};
  }
  const bool held = db::lock_holder(context.workspace).has_value();
  std::vector<RunStatus> all;
  for (const db::Run& run : runs) {
    VORTEX_ASSIGN(RunStatus status, status_of(*store, run, held));
    all.push_back(std::move(status));
  }
  if (context.format() == Format::kText) {
    print_text(all);
    return 0;
  }
  std::vector<nlohmann::json> items;
  for (const RunStatus& status : all) items.push_back(to_json(status));
  print_records(context.format(), "status", items);
  return 0;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  const auto name = std::make_shared<std::string>();
  CLI::App* verb = add_verb(app, context, "status", "the searches of a workspace and how far they are",
                            [&context, name] { return show_status(context, *name); });
  verb->add_option("run", *name, "one search, by name or number (all)");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
