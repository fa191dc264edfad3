#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>

#include "base/gpu.h"
#include "cli/show/front_table.h"
#include "cli/verbs/verbs.h"
#include "db/lock.h"
#include "study/baseline.h"
#include "study/digest.h"

namespace vortex::cli {
namespace {

// What the search's stages ran on, by the evidence of the newest; empty: none ran yet.
std::string device_of(const study::RunView& view) {
  const std::vector<study::BoardLine>& lines = view.board.lines();
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const auto stages = view.store.stages(line->candidate);
    if (!stages.ok()) { return ""; }
    for (auto stage = stages->rbegin(); stage != stages->rend(); ++stage) {
      const auto evidence = nlohmann::json::parse(stage->evidence, nullptr, false);
      const auto device = evidence.find("device");
      if (device != evidence.end() && device->is_string()) { return device->get<std::string>(); }
    }
  }
  return "";
}

// How the GPUs of this machine do, where a search runs on one now.
std::vector<Gpu> gpus_in_use(const std::vector<nlohmann::json>& runs) {
  const bool in_use = std::any_of(runs.begin(), runs.end(), [](const nlohmann::json& run) {
    return run["state"] == "running" && run.value("device", "") != "cpu";
  });
  if (!in_use) { return {}; }
  Result<std::vector<Gpu>> gpus = look_at_gpus();
  return gpus.ok() ? std::move(gpus).value() : std::vector<Gpu>();
}

nlohmann::json status_of(const std::string& workspace, const db::Run& run, bool lock_held) {
  nlohmann::json record = {{"id", run.id},           {"name", run.name},
                           {"state", run.state},     {"seconds_used", run.seconds_used},
                           {"started", run.started}, {"verdicts", nlohmann::json::object()}};
  if (run.state == db::RunState::kRunning && !lock_held) { record["state"] = "cut off"; }
  const auto digest = study::read_digest(workspace, run);
  if (!digest.ok()) { return record; }
  record["seconds_budget"] = digest->options.seconds;
  std::map<std::string, int> verdicts;
  for (const study::BoardLine& line : digest->board.lines()) {
    ++verdicts[std::string(study::outcome_name(line.state, line.verdict))];
  }
  record["verdicts"] = verdicts;
  record["device"] = device_of(digest->view());
  const auto shown = study::read_shown(digest->view(), study::Undecided::kLeftOut);
  if (!shown.ok()) { return record; }
  record["front"] = shown->rows.size();
  // What is claimed: kept on held-out problems, and faster in processes of its own.
  double best = 1;
  for (const study::FrontRow& row : shown->rows) {
    if (row.claim && row.claim->kept && row.claim->faster) { best = std::max(best, row.claim->speed->ratio.value); }
  }
  record["best_speed"] = best;
  record["baseline_warning"] = study::baseline_warning(shown->few, digest->options);
  return record;
}

std::string verdicts_text(const nlohmann::json& verdicts) {
  std::string text;
  for (const auto& [verdict, count] : verdicts.items()) {
    text += (text.empty() ? "" : ", ") + verdict + " " + std::to_string(count.get<int>());
  }
  return text;
}

Result<int> status(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(context.workspace));
  VORTEX_ASSIGN(std::vector<db::Run> runs, store->runs());
  if (!name.empty()) {
    VORTEX_ASSIGN(const db::Run run, study::find_run(*store, name));
    runs = {run};
  }
  const bool lock_held = db::lock_holder(context.workspace).has_value();
  std::vector<nlohmann::json> items;
  for (const db::Run& run : runs) { items.push_back(status_of(context.workspace, run, lock_held)); }
  const std::vector<Gpu> gpus = gpus_in_use(items);
  if (context.format() != Format::kText) {
    for (nlohmann::json& item : items) {
      if (item["state"] != "running") { continue; }
      for (const Gpu& gpu : gpus) { item["gpus"].push_back(to_json(gpu, ::getpid())); }
    }
    print_records(context.format(), "run", items);
    return 0;
  }
  Table table({"search", "state", "device", "time", "candidates", "front", "claimed"});
  for (const nlohmann::json& item : items) {
    table.add({item["name"], item["state"], item.value("device", ""),
               duration_text(item["seconds_used"]) + " of " + duration_text(item.value("seconds_budget", 0.0)),
               verdicts_text(item["verdicts"]), std::to_string(item.value("front", 0)),
               item.value("best_speed", 1.0) > 1 ? fixed(item.value("best_speed", 1.0), 2) + "x" : "nothing yet"});
  }
  std::cout << table.text();
  for (const Gpu& gpu : gpus) {
    std::cout << "GPU " << gpu.index << ": " << describe(gpu) << "\n";
    for (const std::string& doubt : doubts(gpu, ::getpid())) { std::cout << "  " << doubt << "\n"; }
  }
  for (const nlohmann::json& item : items) {
    const std::string warning = item.value("baseline_warning", "");
    if (!warning.empty()) { log_line(item["name"].get<std::string>() + ": " + warning); }
  }
  return 0;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  const auto name = std::make_shared<std::string>();
  CLI::App* verb = add_verb(app, context, "status", "the searches of the workspace and how far they are",
                            [&context, name] { return status(context, *name); });
  verb->add_option("run", *name, "one search, by name or number (all)");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
