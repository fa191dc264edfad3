#include <iostream>
#include <memory>

#include "cli/show/front_table.h"
#include "cli/verbs/verbs.h"
#include "study/loaded_run.h"
#include "study/reproduce.h"

namespace vortex::cli {
namespace {

struct ReplayArguments {
  std::string which;
  std::string run;
  std::string device;    // empty: as the search had it
  std::string cpu_math;  // likewise
};

// The model that evidence is of; empty: it does not say.
std::string hash_of(const nlohmann::json& evidence) {
  const auto found = evidence.is_object() ? evidence.find("model_hash") : evidence.end();
  return found != evidence.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The arithmetic of a result's products; empty on a device. Results of before there was a choice are float32 ones.
std::string arithmetic_of(const nlohmann::json& evidence) {
  const auto text = [&](const char* key, const char* otherwise) -> std::string {
    const auto found = evidence.find(key);
    return found != evidence.end() && found->is_string() ? found->get<std::string>() : otherwise;
  };
  if (text("device", "") != "cpu") { return {}; }
  const std::string math = text("cpu_math", "float32");
  return math == "float32" ? math : math + " on " + text("cpu_unit", "an unknown unit");
}

// Other arithmetic gives other tokens, which would say nothing about the candidate.
Status check_arithmetic(const nlohmann::json& before, const nlohmann::json& now) {
  const std::string then = arithmetic_of(before);
  if (then.empty() || arithmetic_of(now).empty() || then == arithmetic_of(now)) { return ok_status(); }
  return environment_error("the search computed in " + then + ", this replay in " + arithmetic_of(now),
                           "replay it on a processor like the one that the search ran on");
}

Result<study::Replay> replay_one(const Context& context, const ReplayArguments& arguments, const study::LoadedRun& run,
                                 int64_t candidate) {
  const study::CandidateHistory* history = run.history.find(candidate);
  if (history == nullptr) { return candidate_error("there is no candidate " + std::to_string(candidate)); }
  const db::StageRow* race = study::last_stage(*history, job::Stage::kRace);
  if (race == nullptr) {
    return candidate_error("candidate " + std::to_string(candidate) + " never raced: nothing to reproduce");
  }
  VORTEX_ASSIGN(job::Job job, study::reproducing_job(run, history->row));
  if (!arguments.device.empty()) { job.device = arguments.device; }
  if (!arguments.cpu_math.empty() && arguments.cpu_math != job.cpu_math) {
    return candidate_error("the search computed in " + job.cpu_math + ": " + arguments.cpu_math + " gives other tokens",
                           "leave --cpu-math out; a judgement in float32 takes a search or an eval of its own");
  }
  VORTEX_ASSIGN(const sandbox::ExecutorOptions options, executor_options(context, 0, run.options.memory_bytes));
  const std::string measured_on = hash_of(nlohmann::json::parse(race->evidence, nullptr, false));
  bool other_model = false;
  const auto on_result = [&](const job::StageResult& result) {
    const std::string hash = hash_of(result.evidence);
    other_model = other_model || (!hash.empty() && !measured_on.empty() && hash != measured_on);
  };
  VORTEX_ASSIGN(const std::vector<job::StageResult> results,
                sandbox::run_job(job, options, on_result, [&] { return other_model; }));
  if (other_model) {
    return environment_error(
        "the model in " + job.model_path + " is not the one that candidate " + std::to_string(candidate) +
            " was measured on",
        "restore the folder; its search has " + measured_on.substr(0, 12) + " as the model's hash");
  }
  if (results.empty() || results.back().stage != job::Stage::kRace) {
    const std::string why = results.empty() ? "no stage was reported" : results.back().message;
    return environment_error("candidate " + std::to_string(candidate) + " did not reach the race again: " + why);
  }
  if (const auto blame = results.back().blame) {
    return Error{*blame, "the race did not finish: " + results.back().message, ""};
  }
  VORTEX_TRY(check_arithmetic(nlohmann::json::parse(race->evidence, nullptr, false), results.back().evidence));
  return study::compare(candidate, study::outcomes_of(*history, *race), results.back().outcomes);
}

Result<std::vector<int64_t>> candidates_of(const study::LoadedRun& run, const std::string& which) {
  if (which != "front") { return std::vector<int64_t>{std::stoll(which)}; }
  std::vector<int64_t> candidates;
  for (const study::FrontRow& row : study::front_rows(run.history, run.options)) {
    if (!row.undecided) { candidates.push_back(row.id); }
  }
  if (candidates.empty()) { return candidate_error("the front of " + run.history.run.name + " is empty"); }
  return candidates;
}

Result<int> replay(const Context& context, const ReplayArguments& arguments) {
  const bool is_number =
      !arguments.which.empty() && arguments.which.find_first_not_of("0123456789") == std::string::npos;
  if (arguments.which != "front" && (!is_number || arguments.which.size() > 15)) {
    return candidate_error("not a candidate: " + arguments.which, "give its number, or the word front");
  }
  Result<study::LoadedRun> loaded = is_number ? study::load_run_of(context.workspace, std::stoll(arguments.which))
                                              : study::load_run(context.workspace, arguments.run);
  if (!loaded.ok()) { return loaded.error(); }
  VORTEX_ASSIGN(const std::vector<int64_t> candidates, candidates_of(*loaded, arguments.which));
  bool all_same = true;
  std::vector<nlohmann::json> items;
  for (int64_t candidate : candidates) {
    VORTEX_ASSIGN(const study::Replay result, replay_one(context, arguments, *loaded, candidate));
    const bool same = result.difference.empty();
    all_same = all_same && same;
    items.push_back({{"candidate", candidate},
                     {"reproduced", same},
                     {"problems", result.compared},
                     {"difference", result.difference}});
    if (context.format() != Format::kText) { continue; }
    std::cout << "candidate " << candidate << ": "
              << (same ? "reproduced, token for token, on " + std::to_string(result.compared) + " problems"
                       : "DIFFERS first at " + result.difference)
              << std::endl;
  }
  if (context.format() != Format::kText) { print_records(context.format(), "replay", items); }
  return all_same ? 0 : exit_code(Blame::kInternal);
}

}  // namespace

void add_replay(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ReplayArguments>();
  CLI::App* verb = add_verb(app, context, "replay", "runs a candidate again: must give the very same tokens",
                            [&context, arguments] { return replay(context, *arguments); });
  verb->add_option("candidate", arguments->which, "its number, or the word front for all of the front")->required();
  verb->add_option("--run", arguments->run, "the search whose front is meant (the newest with a result)");
  add_device_option(verb, arguments->device);
  add_cpu_math_option(verb, arguments->cpu_math);
  add_workspace_option(verb, context);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
