#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "base/text.h"
#include "cli/not_negative.h"
#include "cli/runs.h"
#include "cli/show/front_table.h"
#include "cli/verbs/verbs.h"
#include "study/claims.h"
#include "study/digest.h"

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

std::string origin_of(const study::BoardLine& line) { return study::origin_name(line.origin, line.arm); }
std::string verdict_of(const study::BoardLine& line) {
  return std::string(study::outcome_name(line.state, line.verdict));
}
std::string stage_of(const study::BoardLine& line) { return line.stage ? db::stage_round_name(*line.stage) : ""; }

// Without the number of a round.
std::string first_stage_of(const study::BoardLine& line) {
  const std::string stage = stage_of(line);
  return stage.substr(0, stage.find('-'));
}

// Why it ended where it did, else what was done to make it.
const std::string& what_of(const study::BoardLine& line) {
  return line.has_passed() || line.why.empty() ? line.made_by : line.why;
}

std::vector<study::BoardLine> kept_lines(const ListArguments& arguments, const study::Board& board) {
  std::vector<study::BoardLine> kept;
  for (const study::BoardLine& line : board.lines()) {
    if (!arguments.verdict.empty() && verdict_of(line) != arguments.verdict) { continue; }
    if (!arguments.origin.empty() && origin_of(line) != arguments.origin) { continue; }
    if (!arguments.stage.empty() && first_stage_of(line) != arguments.stage) { continue; }
    if (arguments.front && !board.on_front(line.candidate)) { continue; }
    kept.push_back(line);
  }
  return kept;
}

// Numbers that are worth most come first, candidates without one last; equal ones keep the order of the search.
void order(const std::string& by, std::vector<study::BoardLine>& lines) {
  const auto value = [&](const study::BoardLine& line) {
    if (by == "accuracy") { return line.accuracy.value_or(-1); }
    if (by == "speed") { return line.speed.value_or(-1); }
    return line.seconds;
  };
  if (by == "id") { return; }
  std::stable_sort(lines.begin(), lines.end(),
                   [&](const study::BoardLine& a, const study::BoardLine& b) { return value(a) > value(b); });
}

// Of those that are points, their difference to dense attention, drawn towards the mean of all.
std::map<int64_t, evals::Interval> shrunk_of(const std::vector<study::BoardLine>& lines, const study::Board& board) {
  std::vector<int64_t> candidates;
  for (const study::BoardLine& line : lines) { candidates.push_back(line.candidate); }
  std::map<int64_t, evals::Interval> shrunk;
  for (const study::Expected& one : study::expected_differences(board.standing().archive(), candidates)) {
    shrunk[one.candidate] = one.difference;
  }
  return shrunk;
}

nlohmann::json to_json(const study::BoardLine& line, const study::Board& board,
                       const std::map<int64_t, evals::Interval>& shrunk) {
  const study::Point* point = board.point(line.candidate);
  const auto found = shrunk.find(line.candidate);
  return {{"candidate", line.candidate},
          {"origin", origin_of(line)},
          {"verdict", verdict_of(line)},
          {"stage", stage_of(line)},
          {"on_front", board.on_front(line.candidate)},
          {"accuracy", point != nullptr ? interval_json(point->accuracy) : nlohmann::json()},
          {"shrunk_difference", found != shrunk.end() ? interval_json(found->second) : nlohmann::json()},
          {"speed_over_dense", point != nullptr ? interval_json(point->speed.ratio) : nlohmann::json()},
          {"seconds", line.seconds},
          {"what", what_of(line)}};
}

void print_lines(const std::vector<study::BoardLine>& lines, const study::Board& board) {
  const std::map<int64_t, evals::Interval> shrunk = shrunk_of(lines, board);
  Table table({"id", "origin", "verdict", "at", "front", "accuracy", "shrunk", "speed", "time", "what"});
  table.may_drop({"time", "origin", "at", "front", "what", "shrunk", "verdict"});
  table.tint("verdict");
  for (const study::BoardLine& line : lines) {
    const study::Point* point = board.point(line.candidate);
    const auto found = shrunk.find(line.candidate);
    table.add({std::to_string(line.candidate), origin_of(line), verdict_of(line), stage_of(line),
               board.on_front(line.candidate) ? "*" : "", point != nullptr ? interval_text(point->accuracy, 2) : "",
               found != shrunk.end() ? shrunk_cell(found->second) : "",
               point != nullptr ? interval_text(point->speed.ratio, 2) : "", duration_text(line.seconds),
               what_of(line)});
  }
  print_table(table);
}

// A word of a filter that no candidate has may be another word for one that some have.
void tell_nothing(const ListArguments& arguments, const study::Board& board) {
  const auto tell = [&](const char* option, const std::string& asked, const auto& word_of) {
    std::set<std::string> words;
    for (const study::BoardLine& line : board.lines()) { words.insert(word_of(line)); }
    words.erase("");
    if (asked.empty() || words.contains(asked)) { return; }
    log_line(std::string("--") + option + ": none has " + asked + "; there are " +
             join(std::vector<std::string>(words.begin(), words.end()), ", "));
  };
  tell("verdict", arguments.verdict, verdict_of);
  tell("origin", arguments.origin, origin_of);
  tell("stage", arguments.stage, first_stage_of);
}

Result<int> list(const Context& context, const ListArguments& arguments) {
  VORTEX_ASSIGN(const study::Digest digest, chosen_digest(context, arguments.run));
  const study::Board& board = digest.board;
  std::vector<study::BoardLine> lines = kept_lines(arguments, board);
  order(arguments.sort, lines);
  const size_t found = lines.size();
  if (arguments.limit > 0 && lines.size() > static_cast<size_t>(arguments.limit)) {
    lines.resize(static_cast<size_t>(arguments.limit));
  }
  if (context.format() != Format::kText) {
    std::vector<nlohmann::json> items;
    const std::map<int64_t, evals::Interval> shrunk = shrunk_of(lines, board);
    for (const study::BoardLine& line : lines) { items.push_back(to_json(line, board, shrunk)); }
    if (context.format() == Format::kCsv) {
      print_csv({"candidate", "origin", "verdict", "stage", "on_front", "accuracy", "shrunk_difference",
                 "speed_over_dense", "seconds", "what"},
                items);
    } else {
      print_records(context.format(), "candidate", items);
    }
    return 0;
  }
  if (lines.empty()) { tell_nothing(arguments, board); }
  if (!lines.empty()) { print_lines(lines, board); }
  const size_t all = board.lines().size();
  std::string counted = std::to_string(lines.size());
  if (lines.size() < found) { counted += " of " + std::to_string(found); }
  log_line(counted + (found < all ? " that match, of " + std::to_string(all) : std::string()) +
           " candidates of search " + digest.run.name);
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
  verb->add_option("--limit", arguments->limit, "so many at most; 0: all")->check(kNotNegative);
  add_workspace_option(verb, context);
  add_format_option(verb, context, true);
}

}  // namespace vortex::cli
