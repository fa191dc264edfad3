#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/gpu.h"
#include "cli/interrupt.h"
#include "cli/show/front_table.h"
#include "cli/show/worker_table.h"
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
      if (device == evidence.end() || !device->is_string()) { continue; }
      const auto name = device->get<std::string>();
      const int ranks = evidence.value("tensor_parallel", 1);
      return ranks > 1 && name == "cpu" ? name + ", " + std::to_string(ranks) + " ranks" : name;
    }
  }
  return "";
}

// How the GPUs of this machine do, where a search runs on one now.
std::vector<Gpu> gpus_in_use(const std::vector<nlohmann::json>& runs) {
  const bool in_use = std::any_of(runs.begin(), runs.end(), [](const nlohmann::json& run) {
    return run["state"] == "running" && !run.value("device", "").starts_with("cpu");
  });
  if (!in_use) { return {}; }
  Result<std::vector<Gpu>> gpus = look_at_gpus();
  return gpus.ok() ? std::move(gpus).value() : std::vector<Gpu>();
}

// How fast it goes, and when a search that runs should end: by the first of its budgets that can be told in time.
void add_pace(const study::Digest& digest, nlohmann::json& record) {
  const study::SearchOptions& options = digest.options;
  const std::vector<study::BoardLine>& lines = digest.board.lines();
  const auto done = std::count_if(lines.begin(), lines.end(),
                                  [](const study::BoardLine& line) { return line.is_done() && !line.is_dense(); });
  const double used = digest.run.seconds_used;
  record["candidates"] = done;
  if (done > 0 && used > 0) { record["candidates_per_hour"] = static_cast<double>(done) / used * 3600; }
  if (record["state"] != "running") { return; }
  double left = options.seconds > 0 ? options.seconds - used : HUGE_VAL;
  if (options.max_evals > 0 && done > 0) {
    left = std::min(left, static_cast<double>(options.max_evals - done) * used / static_cast<double>(done));
  }
  if (std::isfinite(left)) { record["seconds_left"] = std::max(0.0, left); }
}

nlohmann::json status_of(const std::string& workspace, const db::Run& run, bool lock_held) {
  nlohmann::json record = {{"id", run.id},
                           {"name", run.name},
                           {"state", run.state},
                           {"seconds_used", run.seconds_used},
                           {"started", run.started > 0 ? nlohmann::json(run.started) : nlohmann::json()},
                           {"ended", run.ended > 0 ? nlohmann::json(run.ended) : nlohmann::json()},
                           {"candidates", 0},
                           {"candidates_per_hour", nullptr},
                           {"seconds_left", nullptr},
                           {"verdicts", nlohmann::json::object()}};
  if (run.state == db::RunState::kRunning && !lock_held) { record["state"] = "cut off"; }
  const auto digest = study::read_digest(workspace, run);
  if (!digest.ok()) { return record; }
  record["seconds_budget"] = digest->options.seconds;
  std::map<std::string, int> verdicts;
  for (const study::BoardLine& line : digest->board.lines()) {
    ++verdicts[std::string(study::outcome_name(line.state, line.verdict))];
  }
  record["verdicts"] = verdicts;
  add_pace(*digest, record);
  record["device"] = device_of(digest->view());
  const auto shown = study::read_shown(digest->view(), study::Undecided::kLeftOut);
  if (!shown.ok()) { return record; }
  record["front"] = shown->rows.size();
  // What is claimed: kept on held-out problems, and faster in processes of its own.
  const study::Claim* headline = study::headline_of(shown->claims);
  const double best = headline != nullptr ? headline->speed->ratio.value : 1;
  record["best_speed"] = best;
  record["baseline_warning"] = study::baseline_warning(shown->few, digest->options);
  return record;
}

// Of searches with workers on other machines: who is there while they run, and what their nodes did.
void add_workers(const std::string& workspace, nlohmann::json& record) {
  auto roster = roster_of(workspace, record["name"]);
  if (!roster) { return; }
  if (record["state"] != "running") { roster->workers.clear(); }
  record["workers"] = to_json(*roster);
}

std::string verdicts_text(const nlohmann::json& verdicts) {
  std::string text;
  for (const auto& [verdict, count] : verdicts.items()) {
    text += (text.empty() ? "" : ", ") + verdict + " " + std::to_string(count.get<int>());
  }
  return text;
}

struct StatusArguments {
  std::string run;
  bool watch = false;
};

std::string time_cell(const nlohmann::json& item) {
  const double budget = item.value("seconds_budget", 0.0);
  const std::string used = duration_text(item["seconds_used"]);
  return budget > 0 ? used + " of " + duration_text(budget) : used;
}

std::string pace_cell(const nlohmann::json& item) {
  const nlohmann::json& rate = item["candidates_per_hour"];
  return rate.is_number() ? fixed(rate.get<double>(), rate.get<double>() < 10 ? 1 : 0) + "/h" : "";
}

// When it should end, where it runs; else how long ago it ended.
std::string age_cell(const nlohmann::json& item) {
  if (item["seconds_left"].is_number()) {
    const double left = item["seconds_left"].get<double>();
    return "ends in " + duration_text(left) + ", " + date_text(wall_seconds() + left).substr(11);
  }
  if (!item["ended"].is_number()) { return ""; }
  return duration_text(wall_seconds() - item["ended"].get<double>()) + " ago";
}

// Of a search that runs now.
std::string workers_text(const nlohmann::json& item) {
  constexpr size_t kShown = 40;
  if (!item.contains("workers") || item["state"] != "running") { return ""; }
  const auto roster = fleet::roster_from_json(item["workers"]);
  if (!roster.ok()) { return ""; }
  Table nodes(node_headings(NodesOf::kNow));
  nodes.may_drop({"last fault", "worker time", "workers"});
  for (const std::vector<std::string>& row : node_rows(*roster, NodesOf::kNow)) { nodes.add(row); }
  return "\n" + worker_table(*roster, kShown, stdout_columns()) + "\n" + nodes.text(stdout_columns());
}

std::string status_text(const std::vector<nlohmann::json>& items, const std::vector<Gpu>& gpus) {
  Table table({"search", "state", "began", "time", "ended", "tried", "pace", "verdicts", "device", "front", "claimed"});
  table.may_drop({"verdicts", "device", "pace", "ended", "began", "front", "tried"});
  for (const nlohmann::json& item : items) {
    table.add({item["name"], item["state"], item["started"].is_number() ? date_text(item["started"]) : "-",
               time_cell(item), age_cell(item), std::to_string(item["candidates"].get<int>()), pace_cell(item),
               verdicts_text(item["verdicts"]), item.value("device", ""), std::to_string(item.value("front", 0)),
               item.value("best_speed", 1.0) > 1 ? fixed(item.value("best_speed", 1.0), 2) + "x" : "nothing yet"});
  }
  table.tint("state");
  std::string text = table.text(stdout_columns(), use_color(STDOUT_FILENO));
  for (const nlohmann::json& item : items) { text += workers_text(item); }
  for (const Gpu& gpu : gpus) {
    text += "GPU " + std::to_string(gpu.index) + ": " + describe(gpu) + "\n";
    for (const std::string& doubt : doubts(gpu, ::getpid())) { text += "  " + doubt + "\n"; }
  }
  return text;
}

Result<std::vector<nlohmann::json>> look(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(context.workspace));
  VORTEX_ASSIGN(std::vector<db::Run> runs, store->runs());
  if (!name.empty()) {
    VORTEX_ASSIGN(const db::Run run, study::find_run(*store, name));
    runs = {run};
  }
  const bool lock_held = db::lock_holder(context.workspace).has_value();
  std::vector<nlohmann::json> items;
  for (const db::Run& run : runs) {
    items.push_back(status_of(context.workspace, run, lock_held));
    add_workers(context.workspace, items.back());
  }
  return items;
}

void print_status(const Context& context, std::vector<nlohmann::json> items, const std::vector<Gpu>& gpus) {
  for (nlohmann::json& item : items) {
    if (item["state"] != "running") { continue; }
    for (const Gpu& gpu : gpus) { item["gpus"].push_back(to_json(gpu, ::getpid())); }
  }
  print_records(context.format(), "run", items);
}

// Looks again every two seconds while a search runs. On a terminal the table stays in its place.
Result<int> watch(const Context& context, const std::string& name) {
  const bool moves = ::isatty(STDOUT_FILENO) == 1;
  size_t lines = 0;
  catch_interrupts();
  for (;;) {
    VORTEX_ASSIGN(const std::vector<nlohmann::json> items, look(context, name));
    const std::vector<Gpu> gpus = gpus_in_use(items);
    if (context.format() != Format::kText) {
      print_status(context, items, gpus);
    } else {
      const std::string text = status_text(items, gpus);
      if (moves && lines > 0) { std::cout << "\033[" << lines << "A\033[J"; }
      std::cout << text << std::flush;
      lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    }
    const bool running =
        std::any_of(items.begin(), items.end(), [](const nlohmann::json& item) { return item["state"] == "running"; });
    for (int i = 0; running && i < 20 && interrupts() == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    if (!running || interrupts() > 0) { return 0; }
  }
}

Result<int> status(const Context& context, const StatusArguments& arguments) {
  if (arguments.watch) { return watch(context, arguments.run); }
  VORTEX_ASSIGN(const std::vector<nlohmann::json> items, look(context, arguments.run));
  const std::vector<Gpu> gpus = gpus_in_use(items);
  if (context.format() != Format::kText) {
    print_status(context, items, gpus);
    return 0;
  }
  std::cout << status_text(items, gpus);
  for (const nlohmann::json& item : items) {
    const std::string warning = item.value("baseline_warning", "");
    if (!warning.empty()) { log_line(item["name"].get<std::string>() + ": " + warning); }
  }
  return 0;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<StatusArguments>();
  CLI::App* verb = add_verb(app, context, "status", "the searches of the workspace and how far they are",
                            [&context, arguments] { return status(context, *arguments); });
  verb->add_option("run", arguments->run, "one search, by name or number (all)");
  verb->add_flag("--watch", arguments->watch, "look again every two seconds, until no search runs or Ctrl-C");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
