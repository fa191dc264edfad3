#include "cli/task_choice.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <sstream>

#include "agent/propose/seeds.h"
#include "cli/output.h"
#include "cli/task_files.h"
#include "core/model/model.h"
#include "core/model/tokenizer.h"
#include "evals/tasks/task.h"

namespace vortex::cli {
namespace {

constexpr std::array kLengths = {1024, 2048, 4096, 8192};
constexpr std::array kTasks = {"ruler_niah_single_1", "ruler_niah_single_2", "ruler_niah_multikey_1", "ruler_vt"};
constexpr int kProblems = 8;
constexpr int kNewTokens = 32;
constexpr double kDenseMustReach = 0.7;
constexpr double kScantMustLose = 0.25;
constexpr int kScantPages =
    4;  // that the plainest policy chooses in every layer, beside the three that are always kept

// Does a word of the chain task make one token?
Result<bool> has_chain_words(const std::string& model) {
  VORTEX_ASSIGN(const auto tokenizer, model::load_tokenizer(model));
  job::TaskSpec chain;
  chain.problems = 1;
  chain.definitions = 8;
  chain.chain = 2;
  VORTEX_ASSIGN(const std::vector<evals::Problem> problems, evals::make_problems(chain));
  const auto tokens = tokenizer->encode(problems.front().prompt);
  std::istringstream words(problems.front().prompt);
  const auto count = std::distance(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>());
  return tokens.ok() && static_cast<std::ptrdiff_t>(tokens->size()) == count;
}

Result<job::Job> scant_job(job::Job job) {
  VORTEX_ASSIGN(const model::ModelConfig model, model::read_model_config(job.model_path));
  VORTEX_ASSIGN(const agent::Seed seed, agent::plain_seed(model.latent.has_value()));
  nlohmann::json config = nlohmann::json::parse(seed.source.config_text, nullptr, false);
  if (!config.is_object()) { return internal_error("the configuration of " + seed.name + " is no object"); }
  config["vortex_topk_val"] = kScantPages;
  config["vortex_layers_skip"] = nlohmann::json::array();
  job.dense = false;
  job.module_text = seed.source.module_text;
  job.config_text = config.dump();
  return job;
}

// Accuracy in the race stage alone.
Result<evals::Interval> race(const job::Job& job, const sandbox::ExecutorOptions& options, double& seconds) {
  VORTEX_ASSIGN(const std::vector<job::StageResult> results,
                sandbox::run_job(
                    job, options, [](const job::StageResult&) {}, [] { return false; }));
  if (results.empty()) { return internal_error("the worker reported no stage"); }
  const job::StageResult& result = results.back();
  if (result.blame) { return Error{*result.blame, result.message, {}}; }
  seconds += result.seconds;
  return evals::accuracy_interval(result.outcomes, job.seed);
}

Result<TaskTrial> try_task(const std::string& name, int length, const job::Job& shared,
                           const sandbox::ExecutorOptions& options, job::TaskSpec& task) {
  job::Job job = shared;
  TaskArguments arguments;
  arguments.task = name;
  arguments.length = length;
  arguments.problems = kProblems;
  arguments.max_new_tokens = kNewTokens;
  job.stages = {job::Stage::kRace};
  job.id = "trial";
  job.dense = true;
  VORTEX_TRY(apply_tasks(arguments, job));
  task = job.task;
  TaskTrial trial{name, length, {}, {}, 0};
  VORTEX_ASSIGN(trial.dense, race(job, options, trial.seconds));
  if (trial.dense.value < kDenseMustReach) { return trial; }
  VORTEX_ASSIGN(const job::Job scant, scant_job(job));
  VORTEX_ASSIGN(trial.scant, race(scant, options, trial.seconds));
  return trial;
}

std::string sentence(const TaskTrial& trial) {
  std::string text = trial.name + " at " + std::to_string(trial.length) + " tokens: dense attention is right in " +
                     interval_text(trial.dense, 2);
  if (trial.dense.value < kDenseMustReach) { return text + ": this model cannot do it"; }
  text += ", " + std::to_string(kScantPages) + " pages chosen by their mean keys in " + interval_text(trial.scant, 2);
  return text + (separates(trial) ? ": policies can differ here" : ": too easy to tell policies apart");
}

}  // namespace

bool separates(const TaskTrial& trial) {
  return trial.dense.value >= kDenseMustReach && trial.dense.value - trial.scant.value >= kScantMustLose;
}

Status choose_task(const Context& context, job::Job& job) {
  VORTEX_ASSIGN(const bool chain, has_chain_words(job.model_path));
  if (chain) { return ok_status(); }
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(job.model_path));
  VORTEX_ASSIGN(const sandbox::ExecutorOptions options, executor_options(context, 3600, 0));
  log_line("no --task was given: trying the shipped ones on dense attention, from short to long");
  std::string found;
  for (const int length : kLengths) {
    if (length > config.max_position_embeddings) { break; }
    for (const char* name : kTasks) {
      job::TaskSpec task;
      VORTEX_ASSIGN(const TaskTrial trial, try_task(name, length, job, options, task));
      log_line("  " + sentence(trial) + " (" + duration_text(trial.seconds) + ")");
      found += "  " + sentence(trial) + "\n";
      if (!separates(trial)) { continue; }
      log_line("searching on it: --task " + std::string(name) + " --length " + std::to_string(length) +
               " --max-new-tokens " + std::to_string(kNewTokens));
      task.problems = job.task.problems;
      job.task = std::move(task);
      return ok_status();
    }
  }
  return candidate_error("no shipped task tells policies of this model apart:\n" + found,
                         "name one with --task, or write one: docs/tasks.md");
}

}  // namespace vortex::cli
