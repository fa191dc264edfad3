#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <memory>

#include "base/files.h"
#include "cli/runs.h"
#include "cli/show/claim_text.h"
#include "cli/show/document.h"
#include "cli/show/front_table.h"
#include "cli/show/worker_table.h"
#include "cli/verbs/verbs.h"
#include "study/digest.h"
#include "study/facts.h"
#include "study/lineage.h"
#include "study/notebook.h"
#include "web/server/report_page.h"

namespace vortex::cli {
namespace {

struct ReportArguments {
  std::string run;
  std::string html;  // file to write; empty: Markdown on stdout
};

std::string evidence_text(const study::Facts& facts) {
  const study::Claim& claim = facts.best->claim;
  return "On " + std::to_string(claim.problems) +
         " held-out problems, which no decision of the search has looked at, " + "it has " +
         interval_text(claim.accuracy, 3) + " and dense attention " + interval_text(claim.dense_accuracy, 3) +
         "; they differ by " + interval_text(claim.difference, 3) + ".";
}

Block tiles(const study::SearchOptions& options, const study::Facts& facts) {
  Block block;
  block.kind = Block::Kind::kTiles;
  const auto confirmed = std::count_if(facts.front.begin(), facts.front.end(), [](const study::FrontRow& row) {
    return !row.is_dense() && row.confirmed.has_value();
  });
  if (facts.best) {
    block.rows.push_back({fixed(facts.best->claim.speed->ratio.value, 2) + "x",
                          "over dense, its accuracy kept within " + margin_text(options)});
  }
  block.rows.push_back({std::to_string(confirmed), "confirmed front points"});
  block.rows.push_back({std::to_string(facts.evaluated), "candidates evaluated"});
  block.rows.push_back({interval_text(facts.hypervolume, 2), "hypervolume of the front"});
  block.rows.push_back({duration_text(facts.spent.front().used), "of search"});
  if (facts.spent.back().used > 0) {
    block.rows.push_back({"$" + fixed(facts.spent.back().used, 2), "spent on models"});
  }
  return block;
}

void add_front(const study::Facts& facts, Document& document) {
  document.heading("The front");
  if (facts.front.empty()) { return document.text("Nothing has passed every stage yet."); }
  std::vector<std::vector<std::string>> rows;
  for (const study::FrontRow& row : facts.front) {
    const auto found = facts.found.find(row.id);
    rows.push_back({std::to_string(row.id), std::string(name_of(row.origin)), interval_text(row.accuracy, 3),
                    fixed(row.dense_accuracy.value, 3), shrunk_cell(row.shrunk),
                    row.ceiling ? fixed(row.ceiling->value, 3) : "-", interval_text(row.speed, 2),
                    row.tokens_per_s ? fixed(row.tokens_per_s->value, 1) : "-", fixed(row.front_probability, 2),
                    claim_cell(row), found == facts.found.end() ? "-" : duration_text(found->second)});
  }
  document.table(
      {"id", "origin", "accuracy", "dense there", "shrunk", "ceiling", "speed over dense", "tok/s", "P(on front)",
       "held-out problems", "found after"},
      std::move(rows),
      {"dense there", "tok/s", "ceiling", "found after", "origin", "shrunk", "P(on front)", "held-out problems"});
  document.text(
      "Shrunk: the difference to dense attention to expect, drawn towards the mean of all candidates, since the best "
      "of "
      "many measured values is too good; what is claimed stands under held-out problems. "
      "Ceiling: the accuracy of the pages with the largest true attention at the same budget, on the first problems. "
      "It "
      "reads all keys, so no policy can be it; it says what a better choice of pages could gain.");
  std::string lineage;
  for (const study::FrontRow& row : facts.front) {
    if (!row.is_dense() && !row.undecided) { lineage += study::ancestry_text(facts.few, row.id); }
  }
  if (lineage.empty()) { return; }
  document.heading("What led to the front");
  document.code(lineage);
}

constexpr size_t kNotesShown = 25;  // a brief is read, not searched

// Hypotheses with what the data said of them, and what else was noted.
void add_notebook(const study::Facts& facts, Document& document) {
  document.heading("What was learned");
  if (facts.notebook.empty()) { return document.text("The proposer keeps no notebook."); }
  std::vector<std::vector<std::string>> rows;
  const std::vector<const nlohmann::json*> notes = study::by_weight(facts.notebook);
  for (size_t i = 0; i < std::min(notes.size(), kNotesShown); ++i) {
    const nlohmann::json& note = *notes[i];
    std::string effect = "-";
    if (note.contains("effect")) {
      const nlohmann::json& seen = note["effect"];
      effect = interval_text({seen.value("value", 0.0), seen.value("lo", 0.0), seen.value("hi", 0.0)}, 3);
    }
    const int64_t candidate = note.value("candidate", int64_t{0});
    const std::string kind = note.value("kind", "");
    rows.push_back({kind == "hypothesis" ? note.value("verdict", "open") : kind, note.value("text", ""), effect,
                    candidate == 0 ? "-" : std::to_string(candidate)});
  }
  document.table({"verdict", "note", "measured effect", "candidate"}, std::move(rows));
  if (notes.size() <= kNotesShown) { return; }
  document.text(std::to_string(notes.size() - kNotesShown) +
                " further notes are in the dashboard's notebook and in `vortex report --format json`.");
}

void add_arms(const study::Facts& facts, Document& document) {
  document.heading("Does the search earn its cost?");
  if (!facts.arms) { return document.text(facts.no_arms); }
  const study::ArmComparison& arms = *facts.arms;
  document.text(study::arms_text(arms) + " Chance alone drives two arms as far apart in " + fixed(100 * arms.p, 1) +
                " % of lots. Whether searching pays in general takes several searches. Hypervolume gained an "
                "evaluation, at the " +
                std::to_string(arms.matched) + " evaluations that both arms had:");
  document.table({"arm", "gain an evaluation"}, {{"search", fixed(arms.search, 4)},
                                                 {"independent proposals", fixed(arms.control, 4)},
                                                 {"difference", fixed(arms.difference, 4)}});
}

void add_funnel(const study::Facts& facts, Document& document) {
  document.heading("What was tried");
  document.text(std::to_string(facts.candidates) + " policies besides dense attention; " +
                std::to_string(facts.evaluated) + " reached a worker; " + std::to_string(facts.retests) +
                (facts.retests == 1 ? " round" : " rounds") +
                " of retests went to points that could change the front.");
  std::vector<std::vector<std::string>> rows;
  for (const std::string& stage : study::counted_stages()) {
    const auto found = facts.funnel.find(stage);
    if (found == facts.funnel.end()) { continue; }
    int reached = 0;
    std::vector<std::string> cells = {stage, ""};
    for (job::Verdict verdict : job::kVerdicts) {
      const auto count = found->second.find(std::string(job::verdict_name(verdict)));
      const int number = count == found->second.end() ? 0 : count->second;
      reached += number;
      cells.push_back(std::to_string(number));
    }
    cells[1] = std::to_string(reached);
    rows.push_back(std::move(cells));
  }
  document.table({"stage", "reached", "pass", "fail", "pruned", "timeout", "error"}, std::move(rows));
  rows.clear();
  for (const auto& [name, origin] : facts.origins) {
    rows.push_back(
        {name, std::to_string(origin.proposed), std::to_string(origin.passed), std::to_string(origin.on_front)});
  }
  document.table({"origin", "proposed", "passed", "on the front"}, std::move(rows));
}

void add_failures(const study::Facts& facts, Document& document) {
  document.heading("Failures by cause");
  if (facts.failures.empty()) { return document.text("None."); }
  std::multimap<int, std::vector<std::string>, std::greater<>> by_count;
  for (const auto& [cause, failure] : facts.failures) {
    by_count.emplace(failure.count, std::vector<std::string>{std::to_string(failure.count), cause.first,
                                                             std::to_string(failure.example), failure.message});
  }
  std::vector<std::vector<std::string>> rows;
  for (auto& [count, cells] : by_count) { rows.push_back(std::move(cells)); }
  document.table({"count", "stage", "example", "what it said"}, std::move(rows));
}

void add_spend(const study::Facts& facts, Document& document) {
  document.heading("Spend");
  std::vector<std::vector<std::string>> rows;
  for (const study::Spent& spent : facts.spent) {
    const bool time = spent.what.ends_with("seconds");
    const auto shown = [&](double value) {
      return time ? duration_text(value) : fixed(value, spent.what == "dollars" ? 2 : 0);
    };
    if (spent.used <= 0 && spent.limit <= 0) { continue; }
    const std::string name = spent.what == "seconds" ? "wall clock" : spent.what == "gpu_seconds" ? "GPU" : spent.what;
    rows.push_back({name, shown(spent.used), spent.limit > 0 ? shown(spent.limit) : "no limit",
                    spent.limit > 0 ? fixed(100 * spent.used / spent.limit, 0) + " %" : "-"});
  }
  document.table({"budget", "used", "limit", "share"}, std::move(rows));
  rows.clear();
  for (const std::string& stage : study::counted_stages()) {
    const auto seconds = facts.stage_seconds.find(stage);
    if (seconds != facts.stage_seconds.end()) { rows.push_back({stage, duration_text(seconds->second)}); }
  }
  document.table({"stage", "time"}, std::move(rows));
  if (!facts.waited_for.empty()) {
    document.text("When its budget ended the search waited for somebody to write a policy: " + facts.waited_for + ".");
  }
  const std::string machine = study::machine_text(facts);
  if (!machine.empty()) { document.text(machine); }
}

// Of a search with workers on other machines.
void add_nodes(const Context& context, const db::Run& run, Document& document) {
  const auto roster = roster_of(context.workspace, run.name);
  if (!roster) { return; }
  document.heading("Where it ran");
  document.table(node_headings(NodesOf::kWholeSearch), node_rows(*roster, NodesOf::kWholeSearch),
                 {"last fault", "worker time", "joined"});
  document.text(
      "Each result names its node and card in its evidence. A speed is a ratio to dense attention on the same card, "
      "measured in turns by the same process; faults of nodes were tried elsewhere and scored no candidate.");
}

std::vector<std::string> next_commands(const Context& context, const db::Run& run, const study::Facts& facts) {
  std::vector<std::string> commands;
  for (const study::NextStep& step : study::next_steps(run, facts)) {
    const std::string note = step.why.empty() ? "" : "  # " + step.why;
    commands.push_back(command_line(context, step.arguments) + note);
  }
  return commands;
}

Document brief(const Context& context, const study::Digest& digest, const study::Facts& facts) {
  const db::Run& run = digest.run;
  const job::Job& job = digest.options.job;
  Document document;
  document.title = "Search " + run.name;
  document.subtitle = std::string(name_of(run.state)) + " after " + duration_text(run.seconds_used) + " on " +
                      job.model_path + ", task " + job.task.kind + " with " + std::to_string(job.task.problems) +
                      " problems, proposer " + digest.options.proposer;
  if (!facts.baseline_warning.empty()) { document.lead(facts.baseline_warning); }
  document.lead(claim_text(digest.options, facts.claims));
  if (facts.best) {
    document.text(evidence_text(facts));
    const study::FrontRow& best = facts.best->row;
    const std::string ceiling = study::ceiling_sentence(best.accuracy, best.dense_accuracy, best.ceiling);
    if (!ceiling.empty()) { document.text(ceiling); }
  }
  const std::string card = study::card_text(facts.card);
  if (!card.empty()) { document.text(card); }
  document.blocks.push_back(tiles(digest.options, facts));
  add_front(facts, document);
  add_notebook(facts, document);
  add_arms(facts, document);
  if (!facts.themes.empty()) {
    document.heading("What to try next");
    for (const std::string& theme : facts.themes) { document.foreign(theme); }
  }
  add_funnel(facts, document);
  add_failures(facts, document);
  add_spend(facts, document);
  add_nodes(context, run, document);
  document.heading("Replay, confirm, export");
  std::string commands;
  for (const std::string& command : next_commands(context, run, facts)) { commands += command + "\n"; }
  document.code(commands);
  return document;
}

// --- JSON

nlohmann::json best_json(const study::Facts& facts) {
  if (!facts.best) { return nullptr; }
  nlohmann::json json = front_record(facts.best->row);
  json["accuracy_difference"] = interval_json(facts.best->claim.difference);
  json["claimed_speed"] = interval_json(facts.best->claim.speed->ratio);
  return json;
}

nlohmann::json card_json(const study::CardDoubts& card) {
  return {{"measured", card.measured}, {"throttled", card.throttled}, {"shared", card.shared}};
}

nlohmann::json arms_json(const study::Facts& facts) {
  if (!facts.arms) { return nullptr; }
  return {{"matched_evaluations", facts.arms->matched},
          {"search", facts.arms->search},
          {"control", facts.arms->control},
          {"difference", facts.arms->difference},
          {"p", facts.arms->p}};
}

nlohmann::json report_json(const Context& context, const study::Digest& digest, const study::Facts& facts) {
  const db::Run& run = digest.run;
  const study::SearchOptions& options = digest.options;
  nlohmann::json front = nlohmann::json::array();
  nlohmann::json lineage = nlohmann::json::array();
  for (const study::FrontRow& row : facts.front) {
    front.push_back(front_record(row));
    for (const study::Ancestor& line : study::ancestry(facts.few, row.id)) {
      if (line.depth == 0) { continue; }
      lineage.push_back({{"child", line.child}, {"parent", line.candidate}, {"operation", line.operation}});
    }
  }
  nlohmann::json failures = nlohmann::json::array();
  for (const auto& [cause, failure] : facts.failures) {
    failures.push_back({{"stage", cause.first},
                        {"cause", cause.second},
                        {"count", failure.count},
                        {"example", failure.example},
                        {"message", failure.message}});
  }
  nlohmann::json origins = nlohmann::json::object();
  for (const auto& [name, origin] : facts.origins) {
    origins[name] = {{"proposed", origin.proposed}, {"passed", origin.passed}, {"on_front", origin.on_front}};
  }
  nlohmann::json spend = nlohmann::json::object();
  for (const study::Spent& spent : facts.spent) { spend[spent.what] = {{"used", spent.used}, {"limit", spent.limit}}; }
  return {{"run", run.name},
          {"state", run.state},
          {"rank_speed", study::rank_speed_name(options.rank_speed)},
          {"margin", options.margin},
          {"best", best_json(facts)},
          {"no_claim", facts.no_claim},
          {"baseline_warning", facts.baseline_warning},
          {"front", front},
          {"hypervolume", interval_json(facts.hypervolume)},
          {"arms", arms_json(facts)},
          {"candidates", facts.candidates},
          {"evaluated", facts.evaluated},
          {"retests", facts.retests},
          {"funnel", facts.funnel},
          {"origins", origins},
          {"failures", failures},
          {"lineage", lineage},
          {"notebook", facts.notebook},
          {"themes", facts.themes},
          {"spend", spend},
          {"events", facts.events},
          {"seconds_used", run.seconds_used},
          {"seconds_budget", options.seconds},
          {"stage_seconds", facts.stage_seconds},
          {"card", card_json(facts.card)},
          {"next", next_commands(context, run, facts)}};
}

Result<int> report(const Context& context, const ReportArguments& arguments) {
  VORTEX_ASSIGN(const study::Digest digest, chosen_digest(context, arguments.run));
  VORTEX_ASSIGN(const study::Facts facts, study::facts_of(digest.view(), study::Undecided::kShown));
  if (!arguments.html.empty()) {
    web::Api api({context.workspace, false, command_line(context, "{}")});
    VORTEX_ASSIGN(const std::string page,
                  web::report_page(api, digest.run.name, to_markdown(brief(context, digest, facts))));
    VORTEX_TRY(write_file_atomic(arguments.html, page));
    log_line("wrote " + arguments.html);
    return 0;
  }
  const bool is_read = ::isatty(STDOUT_FILENO) == 1;  // else it is kept, or goes on as Markdown
  if (context.format() == Format::kText && is_read) {
    std::cout << to_terminal(brief(context, digest, facts), stdout_columns(), use_color(STDOUT_FILENO));
  } else if (context.format() == Format::kText) {
    std::cout << to_markdown(brief(context, digest, facts));
  } else {
    nlohmann::json record = report_json(context, digest, facts);
    const auto roster = roster_of(context.workspace, digest.run.name);
    if (roster) { record["nodes"] = to_json(*roster)["nodes"]; }
    print_record(context.format(), "report", record);
  }
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ReportArguments>();
  CLI::App* verb = add_verb(app, context, "report", "the morning brief: what a search found, as Markdown or HTML",
                            [&context, arguments] { return report(context, *arguments); });
  verb->add_option("--run", arguments->run, "the search, by name or number (the newest with a result)");
  verb->add_option("--html", arguments->html,
                   "file to write as one page that opens from disk: the dashboard with what it showed");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
