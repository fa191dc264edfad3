#include <algorithm>
#include <iostream>
#include <map>
#include <memory>

#include "base/text.h"
#include "cli/runs.h"
#include "cli/verbs/verbs.h"
#include "study/front.h"
#include "study/standing.h"

namespace vortex::cli {
namespace {

struct ListArguments {
  std::string run;
  std::string sort = "id";
  std::string verdict;
  std::string origin;
  std::string stage;
  bool front = false;
  int limit = 0;
};

struct Line {
  int64_t id = 0;
  std::string origin;
  std::string verdict;
  std::string stage;  // the last one that it came to
  bool on_front = false;
  std::optional<evals::Interval> accuracy;
  std::optional<evals::Interval> speed;
  double seconds = 0;  // of workers
  std::string what;
};

// What became of a candidate in a few words: why it ended where it did, else what was done to make it.
std::string what_of(const study::CandidateHistory& candidate) {
  const db::StageRow* last = candidate.stages.empty() ? nullptr : &candidate.stages.back();
  if (last != nullptr && !study::has_passed(candidate.row) && !last->message.empty()) {
    return first_line(last->message);
  }
  return first_line(candidate.row.rationale);
}

std::vector<Line> lines_of(const study::LoadedRun& run) {
  const study::Standing standing = study::standing_of(run.history, run.options);
  std::vector<Line> lines;
  for (const study::CandidateHistory& candidate : run.history.candidates) {
    Line line;
    line.id = candidate.row.id;
    line.origin = study::origin_name(candidate.row.origin, candidate.row.arm);
    line.verdict = study::outcome_name(candidate.row.state, candidate.row.verdict);
    line.on_front = standing.archive().on_front(line.id);
    line.what = what_of(candidate);
    for (const db::StageRow& row : candidate.stages) { line.seconds += row.seconds; }
    if (!candidate.stages.empty()) { line.stage = db::stage_round_name(candidate.stages.back().stage); }
    if (const study::Point* point = standing.archive().find(line.id)) {
      line.accuracy = point->accuracy;
      line.speed = point->speed.ratio;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

void keep(const ListArguments& arguments, std::vector<Line>& lines) {
  std::erase_if(lines, [&](const Line& line) {
    return (!arguments.verdict.empty() && line.verdict != arguments.verdict) ||
           (!arguments.origin.empty() && line.origin != arguments.origin) ||
           (!arguments.stage.empty() && line.stage.substr(0, line.stage.find('-')) != arguments.stage) ||
           (arguments.front && !line.on_front);
  });
}

// Numbers that are worth most come first, candidates without one last; equal ones keep the order of the search.
void order(const std::string& by, std::vector<Line>& lines) {
  const auto value = [&](const Line& line) {
    if (by == "accuracy") { return line.accuracy ? line.accuracy->value : -1.0; }
    if (by == "speed") { return line.speed ? line.speed->value : -1.0; }
    return line.seconds;
  };
  if (by == "id") { return; }
  std::stable_sort(lines.begin(), lines.end(), [&](const Line& a, const Line& b) { return value(a) > value(b); });
}

nlohmann::json to_json(const Line& line) {
  return {{"candidate", line.id},
          {"origin", line.origin},
          {"verdict", line.verdict},
          {"stage", line.stage},
          {"on_front", line.on_front},
          {"accuracy", line.accuracy ? interval_json(*line.accuracy) : nlohmann::json()},
          {"speed_over_dense", line.speed ? interval_json(*line.speed) : nlohmann::json()},
          {"seconds", line.seconds},
          {"what", line.what}};
}

Result<int> list(const Context& context, const ListArguments& arguments) {
  VORTEX_ASSIGN(const study::LoadedRun run, chosen_run(context, arguments.run));
  std::vector<Line> lines = lines_of(run);
  const size_t all = lines.size();
  keep(arguments, lines);
  order(arguments.sort, lines);
  const size_t found = lines.size();
  if (arguments.limit > 0 && lines.size() > static_cast<size_t>(arguments.limit)) {
    lines.resize(static_cast<size_t>(arguments.limit));
  }
  if (context.format() != Format::kText) {
    std::vector<nlohmann::json> items;
    for (const Line& line : lines) { items.push_back(to_json(line)); }
    if (context.format() == Format::kCsv) {
      print_csv(
          {"candidate", "origin", "verdict", "stage", "on_front", "accuracy", "speed_over_dense", "seconds", "what"},
          items);
    } else {
      print_records(context.format(), "candidate", items);
    }
    return 0;
  }
  Table table({"id", "origin", "verdict", "at", "front", "accuracy", "speed", "time", "what"});
  table.may_drop({"time", "origin", "at", "what", "front", "verdict"});
  for (const Line& line : lines) {
    table.add({std::to_string(line.id), line.origin, line.verdict, line.stage, line.on_front ? "*" : "",
               line.accuracy ? interval_text(*line.accuracy, 2) : "", line.speed ? interval_text(*line.speed, 2) : "",
               duration_text(line.seconds), line.what});
  }
  std::cout << table.text(stdout_columns());
  std::string counted = std::to_string(lines.size());
  if (lines.size() < found) { counted += " of " + std::to_string(found); }
  log_line(counted + (found < all ? " that match, of " + std::to_string(all) : std::string()) +
           " candidates of search " + run.history.run.name);
  return 0;
}

}  // namespace

void add_list(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ListArguments>();
  CLI::App* verb = add_verb(app, context, "list", "the candidates of a search, each with what became of it",
                            [&context, arguments] { return list(context, *arguments); });
  verb->add_option("--run", arguments->run, "the search, by name or number (the newest with a result)");
  verb->add_option("--sort", arguments->sort, "what comes first: the highest of these, or the order of the search")
      ->check(CLI::IsMember({"id", "accuracy", "speed", "time"}));
  verb->add_option("--verdict", arguments->verdict,
                   "only those with this one: pass, fail, pruned, timeout, error, ...");
  verb->add_option("--origin", arguments->origin, "only those made so: seed, mutate, crossover, llm, ...");
  verb->add_option("--stage", arguments->stage, "only those whose last stage this is");
  verb->add_flag("--front", arguments->front, "only members of the front");
  verb->add_option("--limit", arguments->limit, "so many at most; 0: all")->check(CLI::NonNegativeNumber);
  add_workspace_option(verb, context);
  add_format_option(verb, context, true);
}

}  // namespace vortex::cli
