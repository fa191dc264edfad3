#include "cli/task_files.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "base/text.h"
#include "cli/context.h"
#include "cli/not_negative.h"
#include "evals/tasks/task_file.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;

// The task that a user names.
Result<job::TaskSpec> read_task(const std::string& name) {
  std::error_code error;
  if (fs::is_regular_file(name, error)) { return evals::read_task_file(name); }
  std::vector<std::string> known;
  for (const fs::path& root : shipped_roots()) {
    const fs::path folder = root / "examples/tasks";
    const fs::path path = folder / (name + ".json");
    if (fs::is_regular_file(path, error)) { return evals::read_task_file(path); }
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (entry.path().extension() == ".json") { known.push_back(entry.path().stem().string()); }
    }
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  return candidate_error("no task file is called " + name,
                         known.empty() ? "name a JSON file, see docs/tasks.md" : "tasks: " + join(known, ", "));
}

// The workload that a user names, in place of the task's own.
Result<job::WorkloadSpec> parse_workload(const std::string& text) {
  const Error error = candidate_error(
      "not a workload: " + text, "dense, fixed, or lognormal:MEAN[,SIGMA[,LONGEST]], e.g. lognormal:12600,0.6,32000");
  job::WorkloadSpec workload;
  workload.answers = text.substr(0, text.find(':'));
  if (workload.answers != "lognormal") {
    if (text != "dense" && text != "fixed") { return error; }
    return workload;
  }
  int end = 0;
  const std::string numbers = text.substr(std::min(text.size(), workload.answers.size() + 1));
  const int read =
      std::sscanf(numbers.c_str(), "%lf,%lf,%d%n", &workload.mean, &workload.sigma, &workload.longest, &end);
  const auto commas = std::count(numbers.begin(), numbers.end(), ',');
  if (read != commas + 1 || (read == 3 && static_cast<size_t>(end) != numbers.size())) { return error; }
  return workload;
}

template <typename T>
void override_with(const std::optional<T>& given, T& target) {
  if (given) { target = *given; }
}

}  // namespace

void add_task_options(CLI::App* verb, TaskArguments& arguments) {
  verb->add_option("--task", arguments.task, "task file, or the name of one that ships, e.g. aime24 (chain)");
  verb->add_option("--confirm-task", arguments.confirm_task,
                   "task of the held-out problems (the same, other problems)");
  verb->add_option("--gate", arguments.gate, "task of the gate before the race; may be repeated")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option("--problems", arguments.problems, "problems that candidates are scored on")
      ->check(CLI::Range(1, 100000));
  verb->add_option("--trials", arguments.trials, "answers to each problem")->check(CLI::Range(1, 1000));
  verb->add_option("--length", arguments.length, "tokens of a synthetic problem and its answer");
  verb->add_option("--max-new-tokens", arguments.max_new_tokens, "tokens of an answer at most");
  verb->add_option("--definitions", arguments.definitions, "task chain: definitions in a prompt (5 tokens each)");
  verb->add_option("--chain", arguments.chain, "task chain: steps of a solution (10 tokens each)");
  verb->add_option("--task-seed", arguments.seed, "seed of the problems")->check(kNotNegative);
  verb->add_option("--workload", arguments.workload,
                   "load that speed is measured on: dense (answers as long as dense attention's), "
                   "lognormal:MEAN[,SIGMA[,LONGEST]], or fixed (a few tokens behind the prompts)");
}

void add_speed_options(CLI::App* verb, job::Job& job) {
  verb->add_option("--speed-seconds", job.speed_seconds, "time to measure a candidate's speed in, at most")
      ->check(CLI::Range(0.0, 86400.0));
  verb->add_option("--speed-precision", job.speed_precision,
                   "share of the speed-up that half its interval may be: then measuring ends")
      ->check(CLI::Range(0.0, 1.0));
}

Status apply_tasks(const TaskArguments& arguments, job::Job& job) {
  if (!arguments.task.empty()) { VORTEX_ASSIGN(job.task, read_task(arguments.task)); }
  override_with(arguments.problems, job.task.problems);
  override_with(arguments.trials, job.task.trials);
  override_with(arguments.length, job.task.length);
  override_with(arguments.max_new_tokens, job.task.max_new_tokens);
  override_with(arguments.definitions, job.task.definitions);
  override_with(arguments.chain, job.task.chain);
  override_with(arguments.seed, job.task.seed);
  if (!arguments.workload.empty()) { VORTEX_ASSIGN(job.task.workload, parse_workload(arguments.workload)); }
  if (!arguments.confirm_task.empty()) { VORTEX_ASSIGN(job.confirm_task, read_task(arguments.confirm_task)); }
  for (const std::string& name : arguments.gate) {
    VORTEX_ASSIGN(job::TaskSpec task, read_task(name));
    override_with(arguments.length, task.length);
    job.gate.push_back(std::move(task));
  }
  const auto race = std::find(job.stages.begin(), job.stages.end(), job::Stage::kRace);
  if (!job.gate.empty()) { job.stages.insert(race, job::Stage::kGate); }
  // What is out of range is refused here, by name, before anything starts.
  VORTEX_TRY(job::task_from_json(job::to_json(job.task)));
  return ok_status();
}

}  // namespace vortex::cli
