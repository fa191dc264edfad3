#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/kept_evaluation.h"
#include "cli/policy_files.h"
#include "cli/show/stage_table.h"
#include "cli/task_files.h"
#include "cli/verbs/verbs.h"
#include "evals/statistics.h"
#include "job/job.h"

namespace vortex::cli {
namespace {

struct EvalArguments {
  std::string module;
  std::string config;
  std::string model;
  TaskArguments tasks;
  std::vector<std::string> stages;  // none: the default climb
  bool alone = false;
  bool no_store = false;
  job::Job job;
};

Status set_stages(const std::vector<std::string>& names, job::Job& job) {
  job.stages.clear();
  for (const std::string& name : names) {
    const std::optional<job::Stage> stage = job::stage_from_name(name);
    if (!stage || *stage < job::Stage::kCompile) { return candidate_error("a worker has no stage " + name); }
    if (!job.stages.empty() && *stage <= job.stages.back()) {
      return candidate_error("--stages must be in climbing order, each once");
    }
    job.stages.push_back(*stage);
  }
  return ok_status();
}

Result<job::Job> job_of(const Context& context, const EvalArguments& arguments) {
  job::Job job = arguments.job;
  job.id = "eval";
  std::string model = arguments.model;
  if (!job.dense) {
    if (arguments.module.empty()) { return candidate_error("which policy?", "name a .py file, or say --dense"); }
    VORTEX_ASSIGN(const vflow::PolicySource source, read_policy(arguments.module, arguments.config));
    VORTEX_ASSIGN(model, model_of(source, arguments.model));
    job.module_text = source.module_text;
    job.config_text = source.config_text;
  }
  if (model.empty()) { return candidate_error("which model?", "name its folder with --model"); }
  std::error_code ec;
  job.model_path = std::filesystem::absolute(model, ec).string();
  job.prefix_folder = std::filesystem::absolute(std::filesystem::path(context.workspace) / "prefixes", ec).string();
  job.stages = job::default_climb();
  if (!arguments.stages.empty()) { VORTEX_TRY(set_stages(arguments.stages, job)); }
  VORTEX_TRY(apply_tasks(arguments.tasks, job));
  job.recall_problems = std::min(2, job.task.problems);
  return job;
}

// What dense attention answers to the same problems; nothing where nobody asks.
struct Baseline {
  std::vector<job::StageResult> results;
  std::vector<job::Outcome> outcomes;
};

using Progress = std::function<void(const job::StageResult&)>;

Result<Baseline> measure_dense(const job::Job& policy, const sandbox::ExecutorOptions& options) {
  Baseline baseline;
  job::Job job = policy;
  job.id = "dense";
  job.dense = true;
  job.module_text.clear();
  job.config_text.clear();
  std::erase_if(job.stages, [](job::Stage stage) { return stage != job::Stage::kRace; });
  if (job.stages.empty()) { return baseline; }
  const Progress progress = [](const job::StageResult& result) {
    log_line("dense attention, " + std::string(stage_name(result.stage)) + ": " +
             std::string(verdict_name(result.verdict)));
  };
  VORTEX_ASSIGN(baseline.results, sandbox::run_job(job, options, progress, [] { return false; }));
  if (baseline.results.empty()) { return internal_error("the worker reported no stage"); }
  const job::StageResult& race = baseline.results.back();
  if (race.blame) { return Error{*race.blame, "dense attention does not pass: " + race.message, ""}; }
  baseline.outcomes = race.outcomes;
  return baseline;
}

// "dense attention: ...; the difference: ...": what the race is read against.
std::string comparison(const Baseline& baseline, const std::vector<job::StageResult>& results, uint64_t seed) {
  const auto race = std::find_if(results.begin(), results.end(),
                                 [](const job::StageResult& result) { return result.stage == job::Stage::kRace; });
  if (baseline.outcomes.empty() || race == results.end()) { return {}; }
  return "accuracy " + interval_text(evals::accuracy_interval(race->outcomes, seed), 3) + ", of dense attention " +
         interval_text(evals::accuracy_interval(baseline.outcomes, seed), 3) + ", on the same " +
         std::to_string(race->outcomes.size()) + " answers; the difference is " +
         interval_text(evals::paired_difference(race->outcomes, baseline.outcomes, seed), 3) + "\n";
}

void print_results(const Context& context, const std::vector<job::StageResult>& results, const Baseline& baseline,
                   uint64_t seed) {
  if (context.format() == Format::kText) {
    print_table(stage_table(results));
    std::cout << comparison(baseline, results, seed);
    return;
  }
  std::vector<nlohmann::json> items;
  for (const job::StageResult& result : results) {
    items.push_back(to_json(result));
    if (result.stage != job::Stage::kRace || baseline.outcomes.empty()) { continue; }
    items.back()["dense_accuracy"] = interval_json(evals::accuracy_interval(baseline.outcomes, seed));
    items.back()["accuracy_difference"] =
        interval_json(evals::paired_difference(result.outcomes, baseline.outcomes, seed));
  }
  print_records(context.format(), "stage", items);
}

Result<int> evaluate(const Context& context, const EvalArguments& arguments) {
  VORTEX_ASSIGN(job::Job job, job_of(context, arguments));
  VORTEX_ASSIGN(const sandbox::ExecutorOptions options, executor_options(context, 0, 0));
  std::unique_ptr<db::Store> store;
  if (!arguments.no_store) { VORTEX_ASSIGN(store, db::Store::open(context.workspace)); }
  Baseline baseline;
  if (!job.dense && !arguments.alone) {
    VORTEX_ASSIGN(baseline, measure_dense(job, options));
    job.incumbent = baseline.outcomes;
    job.race_margin = 1;  // a difference is to be seen, whatever it is: no race ends for it
  }
  const Progress progress = [](const job::StageResult& result) {
    log_line(std::string(stage_name(result.stage)) + ": " + std::string(verdict_name(result.verdict)));
  };
  VORTEX_ASSIGN(const std::vector<job::StageResult> results,
                sandbox::run_job(job, options, progress, [] { return false; }));
  if (results.empty()) { return internal_error("the worker reported no stage"); }
  print_results(context, results, baseline, job.seed);
  if (store != nullptr) {
    VORTEX_ASSIGN(const KeptEvaluation kept, keep_evaluation(*store, job, arguments.module, baseline.results, results));
    log_line("kept as candidate " + std::to_string(kept.candidate) + " of " + kept.run + ": " +
             command_line(context, "show " + std::to_string(kept.candidate)));
  }
  const std::optional<Blame> blame = results.back().blame;
  return blame ? exit_code(*blame) : 0;
}

}  // namespace

void add_eval(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<EvalArguments>();
  job::Job& job = arguments->job;
  job.task.problems = 16;
  job.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CLI::App* verb = add_verb(app, context, "eval", "takes one policy up the ladder, beside dense attention",
                            [&context, arguments] { return evaluate(context, *arguments); });
  verb->add_option("module", arguments->module, "the policy, a .py file");
  verb->add_option("config", arguments->config, "its configuration (the .json beside it)");
  verb->add_flag("--dense", job.dense, "dense attention instead of a policy");
  verb->add_option("--model", arguments->model, "folder of the model (the configuration's model_path)");
  verb->add_option("--stages", arguments->stages,
                   "of the ladder, in climbing order, e.g. recall,race (all but gate and confirm)")
      ->delimiter(',');
  verb->add_flag("--alone", arguments->alone, "without dense attention's answers to the same problems");
  verb->add_flag("--no-store", arguments->no_store, "keep nothing of it in the workspace");
  verb->add_flag("!--no-ceiling", job.recall_ceiling, "do not measure the oracle at the policy's budget");
  verb->add_option("--prefix-bytes", job.prefix_bytes,
                   "of prompts kept read in the workspace; those used longest ago go first")
      ->check(CLI::NonNegativeNumber);
  add_task_options(verb, arguments->tasks);
  verb->add_option("--threads", job.threads, "threads of the worker")->check(CLI::Range(1, 1024));
  add_device_option(verb, job.device);
  add_cpu_math_option(verb, job.cpu_math);
  add_ranks_option(verb, job.tensor_parallel);
  add_speed_options(verb, job);
  add_workspace_option(verb, context);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
