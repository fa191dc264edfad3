#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <thread>

#include "cli/policy_files.h"
#include "cli/show/head_chart.h"
#include "cli/task_files.h"
#include "cli/verbs/verbs.h"
#include "study/loaded_run.h"

namespace vortex::cli {
namespace {

constexpr size_t kListed = 8;  // heads of which the numbers are printed
constexpr int kProblems = 4;   // that are looked at, at most

struct LayersArguments {
  std::string policy;  // a candidate's number, or a .py file
  std::string config;
  std::string model;
  TaskArguments tasks;
  job::Job job;
};

// A candidate's job as its search ran it.
Result<job::Job> job_of_candidate(const Context& context, int64_t id) {
  VORTEX_ASSIGN(const study::LoadedRun run, study::load_run_of(context.workspace, id));
  const study::CandidateHistory* candidate = run.history.find(id);
  if (candidate == nullptr) { return internal_error("candidate " + std::to_string(id) + " has no history"); }
  VORTEX_ASSIGN(const study::CandidateFiles files, study::files_of(*run.store, candidate->row));
  if (files.module_text.empty()) { return candidate_error("dense attention has no policy to look at"); }
  job::Job job = run.options.job;
  job.module_text = files.module_text;
  job.config_text = files.config_text;
  return job;
}

Result<job::Job> job_of_file(const Context& context, const LayersArguments& arguments) {
  job::Job job = arguments.job;
  VORTEX_ASSIGN(const vflow::PolicySource source, read_policy(arguments.policy, arguments.config));
  VORTEX_ASSIGN(const std::string model, model_of(source, arguments.model));
  job.module_text = source.module_text;
  job.config_text = source.config_text;
  std::error_code ec;
  job.model_path = std::filesystem::absolute(model, ec).string();
  job.prefix_folder = std::filesystem::absolute(std::filesystem::path(context.workspace) / "prefixes", ec).string();
  VORTEX_TRY(apply_tasks(arguments.tasks, job));
  return job;
}

// Runs the recall stage with a look at every head.
Result<std::vector<HeadShares>> look(const Context& context, job::Job job) {
  job.id = "layers";
  job.stages = {job::Stage::kRecall};
  job.recall_heads = true;
  job.recall_ceiling = false;
  job.task.problems = std::min(job.task.problems, kProblems);
  job.recall_problems = job.task.problems;
  VORTEX_ASSIGN(const sandbox::ExecutorOptions options, executor_options(context, 3600, 0));
  VORTEX_ASSIGN(const std::vector<job::StageResult> results,
                sandbox::run_job(
                    job, options, [](const job::StageResult&) {}, [] { return false; }));
  if (results.empty()) { return internal_error("the worker reported no stage"); }
  const job::StageResult& recall = results.back();
  if (recall.blame) { return Error{*recall.blame, recall.message, {}}; }
  return read_heads(recall.evidence);
}

nlohmann::json record_of(const HeadShares& head) {
  const auto share = [](double value) { return value < 0 ? nlohmann::json() : nlohmann::json(value); };
  return {{"layer", head.layer},
          {"kv_head", head.head},
          {"answer", share(head.answer)},
          {"mass", share(head.mass)},
          {"like_oracle", share(head.like_oracle)},
          {"took_answer", share(head.took_answer)},
          {"oracle_answer", share(head.oracle_answer)}};
}

void print_text(const std::vector<HeadShares>& heads) {
  std::cout << head_chart(heads) << "\nA mark a kv head, from ' ' (nothing) to '@' (all).\n\n"
            << head_summary(heads) << "\n\n";
  Table table({"layer", "kv head", "attention on the answer", "policy takes", "oracle takes", "of oracle's choice"});
  const auto share = [](double value) { return value < 0 ? std::string("-") : fixed(value, 3); };
  for (const HeadShares& head : answer_heads(heads, kListed)) {
    if (head.answer < 0) { continue; }
    table.add({std::to_string(head.layer), std::to_string(head.head), share(head.answer), share(head.took_answer),
               share(head.oracle_answer), share(head.like_oracle)});
  }
  print_table(table);
}

Result<int> layers(const Context& context, const LayersArguments& arguments) {
  const bool is_number = !arguments.policy.empty() &&
                         arguments.policy.find_first_not_of("0123456789") == std::string::npos &&
                         arguments.policy.size() < 18;
  VORTEX_ASSIGN(const job::Job job,
                is_number ? job_of_candidate(context, std::stoll(arguments.policy)) : job_of_file(context, arguments));
  VORTEX_ASSIGN(const std::vector<HeadShares> heads, look(context, job));
  if (heads.empty()) {
    return candidate_error("nothing was seen of single heads",
                           "dense attention and tasks without a right answer to force have nothing to show");
  }
  if (context.format() == Format::kText) {
    print_text(heads);
    return 0;
  }
  std::vector<nlohmann::json> items;
  for (const HeadShares& head : heads) { items.push_back(record_of(head)); }
  print_records(context.format(), "head", items);
  return 0;
}

}  // namespace

void add_layers(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<LayersArguments>();
  job::Job& job = arguments->job;
  job.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CLI::App* verb = add_verb(app, context, "layers", "which heads look for the answer, and what a policy gives them",
                            [&context, arguments] { return layers(context, *arguments); });
  verb->add_option("policy", arguments->policy, "a candidate's number, or a policy's .py file")->required();
  verb->add_option("config", arguments->config, "the file's configuration (the .json beside it)");
  verb->add_option("--model", arguments->model, "folder of the model (the configuration's model_path)");
  add_task_options(verb, arguments->tasks);
  verb->add_option("--threads", job.threads, "threads of the worker")->check(CLI::Range(1, 1024));
  add_workspace_option(verb, context);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
