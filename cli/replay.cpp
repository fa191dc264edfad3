#include <iostream>
#include <map>
#include <memory>

#include "cli/front_table.h"
#include "cli/loaded_run.h"
#include "cli/verbs.h"

namespace vortex::cli {
namespace {

struct ReplayArguments {
  std::string which;
  std::string run;
};

// What a replay of one candidate came to.
struct Replay {
  int64_t candidate = 0;
  int compared = 0;
  std::string difference;  // the first one; empty when every token was reproduced
};

// The dense baseline's outcomes: the race pairs with them, so they decide how many rounds are run.
std::vector<evals::Outcome> incumbent_of(const agent::History& history) {
  std::vector<evals::Outcome> incumbent;
  for (const agent::CandidateHistory& candidate : history.candidates) {
    if (candidate.row.origin != "dense") continue;
    for (const char* stage : {"gate", "race", "confirm"}) {
      const db::StageRow* row = agent::last_stage(candidate, stage);
      if (row == nullptr) continue;
      const std::vector<evals::Outcome> outcomes = agent::outcomes_of(candidate, *row);
      incumbent.insert(incumbent.end(), outcomes.begin(), outcomes.end());
    }
  }
  return incumbent;
}

Result<evals::Job> job_of(const LoadedRun& run, const db::Candidate& row) {
  evals::Job job = run.options.job;
  job.id = "replay";
  job.dense = row.origin == "dense";
  job.stages = {evals::Stage::kCompile, evals::Stage::kRace};
  if (!job.dense) {
    VORTEX_ASSIGN(const CandidateFiles files, files_of(*run.store, row));
    job.module_text = files.module_text;
    job.config_text = files.config_text;
    job.incumbent = incumbent_of(run.history);
  }
  return job;
}

Replay compare(int64_t candidate, const std::vector<evals::Outcome>& before, const std::vector<evals::Outcome>& now) {
  std::map<std::pair<std::string, int>, std::string> hashes;
  for (const evals::Outcome& outcome : now) hashes[{outcome.problem, outcome.trial}] = outcome.tokens_hash;
  Replay replay{candidate, 0, {}};
  for (const evals::Outcome& outcome : before) {
    const auto found = hashes.find({outcome.problem, outcome.trial});
    const bool same = found != hashes.end() && found->second == outcome.tokens_hash;
    if (same) {
      ++replay.compared;
    } else if (replay.difference.empty()) {
      replay.difference = outcome.problem + ", trial " + std::to_string(outcome.trial) +
                          (found == hashes.end() ? " was not run" : " gave other tokens");
    }
  }
  return replay;
}

Result<Replay> replay_one(const Context& context, const LoadedRun& run, int64_t candidate) {
  const agent::CandidateHistory* history = run.history.find(candidate);
  if (history == nullptr) return candidate_error("there is no candidate " + std::to_string(candidate));
  const db::StageRow* race = agent::last_stage(*history, "race");
  if (race == nullptr) {
    return candidate_error("candidate " + std::to_string(candidate) + " never raced: nothing to reproduce");
  }
  VORTEX_ASSIGN(const evals::Job job, job_of(run, history->row));
  VORTEX_ASSIGN(const sandbox::ExecutorOptions options, executor_options(context, 3600, run.options.memory_bytes));
  VORTEX_ASSIGN(const std::vector<evals::StageResult> results,
                sandbox::run_job(
                    job, options, [](const evals::StageResult&) {}, [] { return false; }));
  if (results.empty() || results.back().stage != evals::Stage::kRace) {
    const std::string why = results.empty() ? "no stage was reported" : results.back().message;
    return environment_error("candidate " + std::to_string(candidate) + " did not reach the race again: " + why);
  }
  if (const auto blame = results.back().blame) {
    return Error{*blame, "the race did not finish: " + results.back().message, ""};
  }
  return compare(candidate, agent::outcomes_of(*history, *race), results.back().outcomes);
}

Result<std::vector<int64_t>> candidates_of(const LoadedRun& run, const std::string& which) {
  if (which != "front") return std::vector<int64_t>{std::stoll(which)};
  std::vector<int64_t> candidates;
  for (const FrontRow& row : front_rows(run.history, run.options)) candidates.push_back(row.id);
  if (candidates.empty()) return candidate_error("the front of " + run.history.run.name + " is empty");
  return candidates;
}

Result<int> replay(const Context& context, const ReplayArguments& arguments) {
  const bool is_number =
      !arguments.which.empty() && arguments.which.find_first_not_of("0123456789") == std::string::npos;
  if (arguments.which != "front" && (!is_number || arguments.which.size() > 15)) {
    return candidate_error("not a candidate: " + arguments.which, "give its number, or the word front");
  }
  Result<LoadedRun> loaded =
      is_number ? load_run_of(context, std::stoll(arguments.which)) : load_run(context, arguments.run);
  if (!loaded.ok()) return loaded.error();
  VORTEX_ASSIGN(const std::vector<int64_t> candidates, candidates_of(*loaded, arguments.which));
  bool all_same = true;
  std::vector<nlohmann::json> items;
  for (int64_t candidate : candidates) {
    VORTEX_ASSIGN(const Replay result, replay_one(context, *loaded, candidate));
    const bool same = result.difference.empty();
    all_same = all_same && same;
    items.push_back({{"candidate", candidate},
                     {"reproduced", same},
                     {"problems", result.compared},
                     {"difference", result.difference}});
    if (context.format() != Format::kText) continue;
    std::cout << "candidate " << candidate << ": "
              << (same ? "reproduced, token for token, on " + std::to_string(result.compared) + " problems"
                       : "DIFFERS first at " + result.difference)
              << std::endl;
  }
  if (context.format() != Format::kText) print_records(context.format(), "replay", items);
  return all_same ? 0 : exit_code(Blame::kInternal);
}

}  // namespace

void add_replay(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ReplayArguments>();
  CLI::App* verb = add_verb(app, context, "replay", "runs a candidate again: must give the very same tokens",
                            [&context, arguments] { return replay(context, *arguments); });
  verb->add_option("candidate", arguments->which, "its number, or the word front for all of the front")->required();
  verb->add_option("--run", arguments->run, "the search whose front is meant (the newest)");
  add_workspace_option(verb, context);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
