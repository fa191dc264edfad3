#include "cli/search_arguments.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <thread>

#include "agent/loop/proposers.h"
#include "agent/loop/search.h"
#include "base/files.h"
#include "base/text.h"
#include "cli/not_negative.h"
#include "cli/policy_files.h"
#include "cli/task_choice.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"
#include "study/held_out.h"
#include "study/retest.h"

namespace vortex::cli {
namespace {

constexpr const char* kShippedModel = "models/chain-4m";
constexpr int kWorkersOfGpu = 3;          // while one is timed the others compile, validate and grade
constexpr double kSpeedSecondsOfGpu = 3;  // where a turn takes tenths of one
constexpr int kWide = 16;                 // workers from which on batches overlap (docs/benchmarks/scale.md)
constexpr int kOverlapOfWide = 2;

namespace fs = std::filesystem;

// What a search that goes on may be told anew; all else is what it was started with.
constexpr std::array kChangeable = {
    "for",           "gpu-time",         "max-evals",       "max-tokens",      "max-dollars", "resume",
    "config",        "notify",           "webhook",         "workspace",       "worker",      "format",
    "no-keeper",     "dry-run",          "require-sandbox", "sandbox-without", "launcher",    "nodes",
    "gpus-per-node", "workers-per-node", "cpus-per-worker", "memory-per-node", "partition",   "time-limit",
    "sbatch",        "launch",           "listen",          "worker-folder",   "silence",     "one-card"};

// A data set has no other seed: held-out problems are those that the search does not use.
Status keep_some_back(const study::SearchOptions& options) {
  const auto left = study::held_out_limit(options.job);
  if (!options.confirm || !left || *left > 0) { return ok_status(); }
  return candidate_error("the search uses all problems of " + options.job.task.data + ": none are left to confirm on",
                         "name others with --confirm-task, take fewer with --problems, or say --no-confirm");
}

// The model that a user names, or else the one that ships.
Result<std::string> chosen_model(const std::string& named) {
  if (!named.empty()) { return named; }
  std::error_code ec;
  for (const fs::path& root : shipped_roots()) {
    const fs::path folder = root / kShippedModel;
    if (!fs::is_regular_file(folder / "config.json", ec)) { continue; }
    log_line("no --model was given: searching on the one that ships, " + folder.lexically_normal().string());
    return folder.string();
  }
  return candidate_error("which model? no --model was given, and the one that ships is not here",
                         "name a folder with --model");
}

}  // namespace

Result<study::SearchOptions> search_options(db::Store& store, const SearchArguments& arguments,
                                            const Context& context) {
  study::SearchOptions options = arguments.options;
  VORTEX_ASSIGN(options.seconds, parse_duration(arguments.duration));
  if (!arguments.gpu_time.empty()) { VORTEX_ASSIGN(options.gpu_seconds, parse_duration(arguments.gpu_time)); }
  options.rank_speed = arguments.rank_speed == "modelled" ? study::RankSpeed::kModelled : study::RankSpeed::kMeasured;
  options.confirm = !arguments.no_confirm && options.writer.mode != "innovate";
  std::error_code ec;
  VORTEX_ASSIGN(const std::string model, chosen_model(arguments.model));
  options.job.model_path = fs::absolute(model, ec).lexically_normal().string();
  VORTEX_TRY(model::check_model_files(options.job.model_path));
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(options.job.model_path));
  VORTEX_TRY(model::check_covered(config, limits_of_device(options.job.device)));
  options.job.prefix_folder = fs::absolute(fs::path(context.workspace) / "prefixes", ec).string();
  options.job.stages = job::default_climb();
  if (options.job.device == "cuda") {
    const int ranks = options.job.tensor_parallel;
    if (!arguments.has("workers")) { options.workers = ranks > 1 ? 1 : kWorkersOfGpu; }  // which has a group to itself
    if (!arguments.has("gpus") && ranks > 1) { options.gpus = ranks; }
    if (!arguments.has("speed-seconds")) { options.job.speed_seconds = kSpeedSecondsOfGpu; }
  }
  FleetArguments fleet = arguments.fleet;
  fleet.slurm.gpus_per_worker = options.job.tensor_parallel;
  fit_to_fleet(
      fleet, [&](const char* name) { return arguments.has(name); }, options);
  const bool overlaps = options.workers >= kWide && agent::may_overlap(options);
  if (!arguments.has("overlap")) { options.overlap = overlaps ? kOverlapOfWide : 0; }
  if (!arguments.models_file.empty()) { VORTEX_ASSIGN(options.writer.models, read_file(arguments.models_file)); }
  if (options.writer.mode == "innovate") { options.job.stages = {job::Stage::kCompile, job::Stage::kValidate}; }
  for (std::string* folder :
       {&options.writer.prompts_folder, &options.writer.replies_folder, &options.writer.record_folder}) {
    if (!folder->empty()) { *folder = fs::absolute(*folder, ec).lexically_normal().string(); }
  }
  VORTEX_TRY(agent::check_search(store, options));
  const bool any_task = arguments.tasks.task.empty() && !arguments.tasks.definitions && !arguments.tasks.chain;
  if (any_task) { VORTEX_TRY(choose_task(context, options.job)); }
  VORTEX_TRY(apply_tasks(arguments.tasks, options.job));
  options.job.seed = options.seed;
  options.job.confirm_seed = options.job.task.seed + 1000003;  // held-out problems
  options.job.confirm_problems = arguments.confirm_problems;
  VORTEX_TRY(keep_some_back(options));
  options.job.recall_problems = std::min(options.job.recall_problems, options.job.task.problems);
  options.job.id = "shared";
  return options;
}

bool SearchArguments::has(const std::string& option) const {
  return std::find(given.begin(), given.end(), option) != given.end();
}

void note_given(const CLI::App& verb, const Context& context, SearchArguments& arguments) {
  for (const CLI::Option* option : verb.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) { continue; }
    const std::string& name = option->get_lnames().front();
    const auto origin = context.origins.find(name);
    const bool from_environment = origin != context.origins.end() && origin->second.starts_with("VORTEX_");
    if (!from_environment) { arguments.given.push_back(name); }
  }
}

Status change_budgets(const SearchArguments& arguments, study::SearchOptions& options) {
  std::vector<std::string> fixed;
  for (const std::string& name : arguments.given) {
    if (std::find(kChangeable.begin(), kChangeable.end(), name) == kChangeable.end()) { fixed.push_back("--" + name); }
  }
  if (!fixed.empty()) {
    return candidate_error(join(fixed, ", ") + ": a search goes on with what it was started with",
                           "leave " + std::string(fixed.size() == 1 ? "it" : "them") +
                               " out, or start a new search; --for, --gpu-time, --max-evals, --max-tokens and "
                               "--max-dollars may change");
  }
  if (arguments.has("for")) { VORTEX_ASSIGN(options.seconds, parse_duration(arguments.duration)); }
  if (arguments.has("gpu-time")) { VORTEX_ASSIGN(options.gpu_seconds, parse_duration(arguments.gpu_time)); }
  if (arguments.has("max-evals")) { options.max_evals = arguments.options.max_evals; }
  if (arguments.has("max-tokens")) { options.max_tokens = arguments.options.max_tokens; }
  if (arguments.has("max-dollars")) { options.max_dollars = arguments.options.max_dollars; }
  return ok_status();
}

namespace {

void add_what_options(CLI::App* verb, SearchArguments& arguments) {
  begin_group(verb, "What to search on");
  verb->add_option("--model", arguments.model, "folder of a Hugging Face checkpoint");
  add_task_options(verb, arguments.tasks);
}

void add_budget_options(CLI::App* verb, SearchArguments& arguments) {
  study::SearchOptions& options = arguments.options;
  begin_group(verb, "How long, and how much");
  verb->add_option("--for", arguments.duration, "time to spend over all sessions: 90s, 5m, 8h");
  verb->add_option("--max-evals", options.max_evals, "candidates to evaluate; 0: no limit")->check(kNotNegative);
  verb->add_option("--gpu-time", arguments.gpu_time, "time of GPUs held by workers, over all sessions: 6h");
  verb->add_option("--gpus", options.gpus, "GPUs that one worker holds, for --gpu-time")->check(CLI::Range(0, 64));
  verb->add_option("--max-tokens", options.max_tokens, "of language models, prompts and replies; 0: no limit")
      ->check(kNotNegative);
  verb->add_option("--max-dollars", options.max_dollars, "to pay for language models; 0: no limit")
      ->check(kNotNegative);
  verb->add_flag("--dry-run", arguments.dry_run, "say what the search would cost, and start none");
}

void add_writer_options(CLI::App* verb, SearchArguments& arguments) {
  study::SearchOptions& options = arguments.options;
  study::WriterOptions& writer = options.writer;
  begin_group(verb, "Who writes policies");
  verb->add_option("--proposer", options.proposer, "who writes policies")
      ->check(CLI::IsMember(agent::proposer_names()));
  verb->add_option("--seeds", options.seeds_folder, "folder of first policies (built-in examples)");
  verb->add_option("--batch", options.batch, "proposals a generation")->check(CLI::Range(1, 1000));
  verb->add_option("--overlap", options.overlap,
                   "generations that are evaluated while the next is proposed without their results; with 16 workers "
                   "or more 2, but 0 for proposers that write, as these read every result")
      ->check(CLI::Range(0, 16));
  verb->add_option("--control-share", options.control_share,
                   "proposals made without a look at results, to show what the search is worth")
      ->check(CLI::Range(0.0, 0.9));
  verb->add_option("--mode", writer.mode,
                   "of the proposers llm, command and recorded: iterate, or innovate (no benchmark)")
      ->check(CLI::IsMember({"iterate", "innovate"}));
  verb->add_option("--models", arguments.models_file,
                   "proposer llm: file of language models (JSON; docs/proposers.md)");
  verb->add_option("--command", writer.command, "proposer command: the program that writes policies");
  verb->add_option("--command-deadline", writer.command_seconds, "seconds until its reply must be there")
      ->check(kNotNegative);
  verb->add_option("--replies", writer.replies_folder, "proposer recorded: folder of kept replies");
  verb->add_option("--record", writer.record_folder, "folder to keep every prompt and reply in, for a replay");
  verb->add_option("--prompts", writer.prompts_folder, "folder of prompt templates that replace the built-in ones");
  verb->add_option("--repairs", writer.repairs, "how often a refused policy goes back with its diagnostics")
      ->check(CLI::Range(0, 7));
  verb->add_option("--notebook-tokens", writer.notebook_tokens, "of a prompt for the notebook")->check(kNotNegative);
  verb->add_option("--fallback", writer.fallback, "who fills in while nobody answers: none or evolve")
      ->check(CLI::IsMember({"none", "evolve"}));
}

void add_judging_options(CLI::App* verb, SearchArguments& arguments) {
  study::SearchOptions& options = arguments.options;
  begin_group(verb, "How policies are judged");
  verb->add_option("--margin", options.margin,
                   "accuracy that a policy may lose and still be said to keep dense attention's: 0.1 is ten points")
      ->check(CLI::Range(0.005, 0.5));
  verb->add_option("--token-budget", options.token_budget,
                   "tokens of context that a policy may choose a kv head, reserved pages aside; 0: any number")
      ->check(CLI::Range(0, 1 << 24));
  verb->add_option("--confirm-problems", arguments.confirm_problems,
                   "held-out problems for finalists at most; 0: as many as the margin needs")
      ->check(CLI::Range(0, 100000));
  verb->add_flag("--no-confirm", arguments.no_confirm, "skip the held-out problems");
  verb->add_option("--retests", options.retests, "rounds of further problems for points that could change the front")
      ->check(CLI::Range(0, study::kMaxRetests));
  verb->add_option("--retest-share", options.retest_share, "problems for retests, over those of first races")
      ->check(CLI::Range(0.0, 10.0));
  verb->add_option("--rank-speed", arguments.rank_speed, "measured or modelled (deterministic)")
      ->check(CLI::IsMember({"measured", "modelled"}));
  verb->add_option("--speed-runs", options.speed_runs, "processes that measure the speed of members of the front")
      ->check(CLI::Range(1, study::kMaxSpeedRuns));
  add_speed_options(verb, options.job);
  verb->add_flag("--accept-baseline", options.accept_baseline,
                 "search even where dense attention cannot tell good policies from bad ones");
  verb->add_option("--seed", options.seed, "of every decision and draw")->check(kNotNegative);
}

void add_machine_options(CLI::App* verb, SearchArguments& arguments) {
  study::SearchOptions& options = arguments.options;
  begin_group(verb, "The machine");
  add_device_option(verb, options.job.device);
  add_cpu_math_option(verb, options.job.cpu_math);
  add_ranks_option(verb, options.job.tensor_parallel);
  verb->add_option("--threads", options.job.threads, "threads of a worker")->check(CLI::Range(1, 1024));
  verb->add_option(
          "--workers", options.workers,
          "candidates evaluated at once (with --device cuda 3: they take turns at being timed); on a CPU more than "
          "one disturb speed measurements")
      ->check(CLI::Range(1, 4096));
  verb->add_option("--stage-deadline", options.stage_seconds,
                   "seconds that one stage may take; 0: a minute and ten times what it should cost")
      ->check(kNotNegative);
  verb->add_option("--memory-limit", options.memory_bytes, "address space of a worker in bytes; 0: no limit")
      ->check(kNotNegative);
  verb->add_option("--prefix-bytes", options.job.prefix_bytes,
                   "of prompts kept read in the workspace; those used longest ago go first")
      ->check(kNotNegative);
  verb->add_flag("--no-keeper", arguments.no_keeper, "every worker loads the model and computes prompts itself");
}

}  // namespace

void add_search_options(CLI::App* verb, SearchArguments& arguments, Context& context) {
  study::SearchOptions& options = arguments.options;
  options.job.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.job.task.problems = 24;
  options.job.recall_problems = 2;
  options.job.speed_tokens = 10;
  options.job.speed_seconds = 6;
  add_what_options(verb, arguments);
  add_budget_options(verb, arguments);
  begin_group(verb, "Going on, and being told");
  verb->add_option("--resume", arguments.resume, "continue this run with the options it was started with");
  verb->add_option("--config", arguments.config, "TOML file with these options by name");
  verb->add_option("--notify", arguments.notify.command,
                   "command told of the end, stalls, budgets, outages and new front points ($VORTEX_EVENT: JSON)");
  verb->add_option("--webhook", arguments.notify.webhook, "URL that the same is posted to");
  add_writer_options(verb, arguments);
  add_judging_options(verb, arguments);
  add_machine_options(verb, arguments);
  add_fleet_options(verb, arguments.fleet);
  add_workspace_option(verb, context);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
