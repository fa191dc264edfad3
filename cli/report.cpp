#include <array>
#include <cctype>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "agent/standing.h"
#include "cli/ancestry.h"
#include "cli/front_table.h"
#include "cli/loaded_run.h"
#include "cli/verbs.h"
#include "evals/statistics.h"

namespace vortex::cli {
namespace {

constexpr std::array kStages = {"check", "novelty", "compile", "validate", "recall",
                                "gate",  "race",    "speed",   "confirm"};
constexpr std::array kVerdicts = {"pass", "fail", "pruned", "timeout", "error"};

// The fastest member of the front whose accuracy cannot be told from dense attention's, or is better.
struct Best {
  FrontRow row;
  evals::Interval accuracy_difference;  // paired with dense attention, on the search problems
};

struct Failure {
  int count = 0;
  int64_t example = 0;
};

struct Origin {
  int proposed = 0;
  int passed = 0;
  int on_front = 0;
};

// Everything that the report says. Counts leave dense attention out, times do not.
struct Facts {
  std::vector<FrontRow> front;
  std::optional<Best> best;
  std::map<std::string, std::map<std::string, int>> funnel;         // stage -> verdict -> candidates
  std::map<std::pair<std::string, std::string>, Failure> failures;  // (stage and verdict, cause)
  std::map<std::string, Origin> origins;
  std::map<std::string, double> stage_seconds;  // over all attempts
  int candidates = 0;
};

std::optional<Best> best_of(const LoadedRun& run, const std::vector<FrontRow>& front) {
  const agent::Standing standing = agent::standing_of(run.history, run.options);
  const agent::Point* dense = nullptr;
  for (const agent::Point& point : standing.archive().points()) {
    if (point.key == "dense") dense = &point;
  }
  if (dense == nullptr) return std::nullopt;
  std::optional<Best> best;
  for (const agent::Point& point : standing.front()) {
    if (point.key == "dense") continue;
    if (agent::compare_accuracy(point, *dense, run.options.seed) == agent::Advantage::kWorse) continue;
    if (best && best->row.speed.value >= point.speed.value) continue;
    for (const FrontRow& row : front) {
      if (row.id != point.candidate) continue;
      best = Best{row, evals::paired_difference(point.outcomes, dense->outcomes, run.options.seed)};
    }
  }
  return best;
}

// A message's first line with its numbers left out, so that messages of one cause are alike.
std::string cause_of(const std::string& message) {
  std::string cause;
  for (char c : message.substr(0, message.find('\n'))) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      cause += c;
    } else if (cause.empty() || cause.back() != '#') {
      cause += '#';
    }
  }
  return cause;
}

void count_failure(const agent::CandidateHistory& candidate, Facts& facts) {
  if (candidate.stages.empty() || candidate.stages.back().verdict == "pass") return;
  const db::StageRow& last = candidate.stages.back();
  const std::string where = last.stage + " " + last.verdict + (last.blame.empty() ? "" : " (" + last.blame + ")");
  Failure& failure = facts.failures[{where, cause_of(last.message)}];
  if (failure.count++ == 0) failure.example = candidate.row.id;
}

Facts facts_of(const LoadedRun& run) {
  Facts facts;
  facts.front = front_rows(run.history, run.options);
  facts.best = best_of(run, facts.front);
  for (const agent::CandidateHistory& candidate : run.history.candidates) {
    for (const db::StageRow& row : candidate.stages) facts.stage_seconds[row.stage] += row.seconds;
    if (candidate.row.origin == "dense") continue;
    ++facts.candidates;
    Origin& origin = facts.origins[candidate.row.origin];
    ++origin.proposed;
    origin.passed += agent::point_of(candidate, run.options.rank_speed, run.options.seed).has_value() ? 1 : 0;
    for (const char* stage : kStages) {
      const db::StageRow* last = agent::last_stage(candidate, stage);
      if (last != nullptr) ++facts.funnel[stage][last->verdict];
    }
    count_failure(candidate, facts);
  }
  for (const FrontRow& row : facts.front) {
    if (!row.is_dense()) ++facts.origins[row.origin].on_front;
  }
  return facts;
}

// --- Markdown

std::string headline(const LoadedRun& run, const Facts& facts) {
  if (!facts.best) return "No policy that keeps dense attention's accuracy is on the front.\n";
  const FrontRow& row = facts.best->row;
  const bool modelled = run.options.rank_speed == agent::RankSpeed::kModelled;
  std::string text = "**Candidate " + std::to_string(row.id) + " decodes " + interval_text(row.speed, 2) +
                     " times as fast as dense attention" + (modelled ? " by the cost model" : "") + "**";
  if (row.speed.lo <= 1) text += ", which its interval does not tell from no gain";
  text += ".\nIts accuracy is " + interval_text(row.accuracy, 3) + ", " +
          interval_text(facts.best->accuracy_difference, 3) +
          " from dense attention's on the same problems: not conclusively worse.\n";
  text += row.confirmed ? "On held-out problems its accuracy is " + interval_text(*row.confirmed, 3) + ".\n"
                        : "It has not been confirmed on held-out problems.\n";
  return text;
}

std::string funnel_text(const Facts& facts) {
  Table table({"stage", "reached", "pass", "fail", "pruned", "timeout", "error"});
  for (const char* stage : kStages) {
    const auto found = facts.funnel.find(stage);
    if (found == facts.funnel.end()) continue;
    int reached = 0;
    for (const auto& [verdict, count] : found->second) reached += count;
    std::vector<std::string> cells = {stage, std::to_string(reached)};
    for (const char* verdict : kVerdicts) {
      const auto count = found->second.find(verdict);
      cells.push_back(std::to_string(count == found->second.end() ? 0 : count->second));
    }
    table.add(std::move(cells));
  }
  return table.markdown();
}

std::string origins_text(const Facts& facts) {
  Table table({"origin", "proposed", "passed", "on the front"});
  for (const auto& [name, origin] : facts.origins) {
    table.add({name, std::to_string(origin.proposed), std::to_string(origin.passed), std::to_string(origin.on_front)});
  }
  return table.markdown();
}

std::string failures_text(const Facts& facts) {
  if (facts.failures.empty()) return "None.\n";
  std::multimap<int, std::vector<std::string>, std::greater<>> by_count;
  for (const auto& [cause, failure] : facts.failures) {
    by_count.emplace(failure.count, std::vector<std::string>{std::to_string(failure.count), cause.first, cause.second,
                                                             std::to_string(failure.example)});
  }
  Table table({"count", "stage", "cause", "example"});
  for (auto& [count, cells] : by_count) table.add(std::move(cells));
  return table.markdown();
}

std::string lineage_text(const LoadedRun& run, const Facts& facts) {
  std::string text;
  for (const FrontRow& row : facts.front) {
    if (!row.is_dense()) text += ancestry_text(run.history, row.id);
  }
  return text.empty() ? "Only dense attention is on the front, if anything.\n" : "```\n" + text + "```\n";
}

std::string time_text(const LoadedRun& run, const Facts& facts) {
  std::string text = duration_text(run.history.run.seconds_used) + " used";
  if (run.options.seconds > 0) text += " of " + duration_text(run.options.seconds);
  text += ".\n\n";
  Table table({"stage", "time"});
  for (const char* stage : kStages) {
    const auto seconds = facts.stage_seconds.find(stage);
    if (seconds != facts.stage_seconds.end()) table.add({stage, duration_text(seconds->second)});
  }
  return text + table.markdown();
}

std::vector<std::string> next_commands(const Context& context, const LoadedRun& run, const Facts& facts) {
  const std::string where = context.workspace == ".vortex" ? "" : " --workspace " + context.workspace;
  std::vector<std::string> commands;
  if (facts.best) {
    const std::string id = std::to_string(facts.best->row.id);
    for (const char* verb : {"show", "replay", "export"}) {
      commands.push_back(std::string("vortex ") + verb + " " + id + where);
    }
  }
  commands.push_back("vortex search --resume " + run.history.run.name + where);
  return commands;
}

void print_markdown(const Context& context, const LoadedRun& run, const Facts& facts) {
  std::cout << "# Search " << run.history.run.name << " (" << run.history.run.state << ")\n\n"
            << headline(run, facts) << "\n## Front\n\n"
            << front_table(facts.front).markdown() << "\n## What was tried\n\n"
            << facts.candidates << " policies besides dense attention.\n\n"
            << funnel_text(facts) << "\n"
            << origins_text(facts) << "\n## Failures by cause\n\n"
            << failures_text(facts) << "\n## What led to the front\n\n"
            << lineage_text(run, facts) << "\n## Time\n\n"
            << time_text(run, facts) << "\n## Next\n\n```\n";
  for (const std::string& command : next_commands(context, run, facts)) std::cout << command << "\n";
  std::cout << "```\n";
}

// --- JSON

nlohmann::json best_json(const Facts& facts) {
  if (!facts.best) return nullptr;
  nlohmann::json json = to_json(facts.best->row);
  json["accuracy_difference"] = interval_json(facts.best->accuracy_difference);
  return json;
}

nlohmann::json report_json(const Context& context, const LoadedRun& run, const Facts& facts) {
  nlohmann::json front = nlohmann::json::array();
  nlohmann::json lineage = nlohmann::json::array();
  for (const FrontRow& row : facts.front) {
    front.push_back(to_json(row));
    for (const Ancestor& line : ancestry(run.history, row.id)) {
      if (line.depth == 0) continue;
      lineage.push_back({{"child", line.child}, {"parent", line.candidate}, {"operation", line.operation}});
    }
  }
  nlohmann::json failures = nlohmann::json::array();
  for (const auto& [cause, failure] : facts.failures) {
    failures.push_back(
        {{"stage", cause.first}, {"cause", cause.second}, {"count", failure.count}, {"example", failure.example}});
  }
  nlohmann::json origins = nlohmann::json::object();
  for (const auto& [name, origin] : facts.origins) {
    origins[name] = {{"proposed", origin.proposed}, {"passed", origin.passed}, {"on_front", origin.on_front}};
  }
  return {{"run", run.history.run.name},
          {"state", run.history.run.state},
          {"rank_speed", agent::rank_speed_name(run.options.rank_speed)},
          {"best", best_json(facts)},
          {"front", front},
          {"candidates", facts.candidates},
          {"funnel", facts.funnel},
          {"origins", origins},
          {"failures", failures},
          {"lineage", lineage},
          {"seconds_used", run.history.run.seconds_used},
          {"seconds_budget", run.options.seconds},
          {"stage_seconds", facts.stage_seconds},
          {"next", next_commands(context, run, facts)}};
}

Result<int> report(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(const LoadedRun run, load_run(context, name));
  const Facts facts = facts_of(run);
  if (context.format() == Format::kText) {
    print_markdown(context, run, facts);
  } else {
    print_record(context.format(), "report", report_json(context, run, facts));
  }
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Context& context) {
  const auto name = std::make_shared<std::string>();
  CLI::App* verb = add_verb(app, context, "report", "what a search found, as Markdown",
                            [&context, name] { return report(context, *name); });
  verb->add_option("--run", *name, "the search, by name or number (the newest)");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
