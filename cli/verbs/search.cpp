#include "agent/loop/search.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "agent/loop/proposers.h"
#include "agent/propose/proposer.h"
#include "agent/session/notify.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/rng.h"
#include "cli/interrupt.h"
#include "cli/policy_files.h"
#include "cli/show/display.h"
#include "cli/show/front_table.h"
#include "cli/task_choice.h"
#include "cli/task_files.h"
#include "cli/verbs/verbs.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"
#include "core/vflow/tell/cost.h"
#include "db/check.h"
#include "db/lock.h"
#include "sandbox/worker_slots.h"
#include "study/held_out.h"
#include "study/history.h"
#include "study/loaded_run.h"
#include "study/retest.h"

namespace vortex::cli {
namespace {

constexpr const char* kShippedModel = "models/chain-4m";
constexpr int kWorkersOfGpu = 3;  // while one is timed the others compile, validate and grade

namespace fs = std::filesystem;

struct SearchArguments {
  std::string model;
  std::string resume;
  std::string duration = "5m";
  std::string rank_speed = "measured";
  int confirm_problems = 0;
  bool no_confirm = false;
  bool no_keeper = false;
  std::set<std::string> given;  // budgets on the command line: with --resume they replace the stored ones
  bool workers_given = false;
  std::string config;  // read by complete_arguments
  std::string models_file;
  std::string gpu_time;  // as a duration
  agent::NotifyOptions notify;
  TaskArguments tasks;
  study::SearchOptions options;
};

// The first signal drains, the second kills.
agent::StopLevel stop_level() {
  const int signals = interrupts();
  if (signals == 0) { return agent::StopLevel::kNone; }
  return signals == 1 ? agent::StopLevel::kDrain : agent::StopLevel::kKill;
}

// "brisk-otter": short, typeable, unlike the names that the workspace has.
std::string run_name(const std::vector<db::Run>& runs) {
  static constexpr std::array kFirst = {"brisk", "calm",  "clear", "deep",  "eager", "fleet", "keen",  "late",
                                        "lucid", "quiet", "rapid", "sharp", "spare", "still", "swift", "vivid"};
  static constexpr std::array kSecond = {"otter", "heron", "lynx",  "raven", "trout", "ibis", "stoat", "finch",
                                         "hare",  "vole",  "swift", "gecko", "mole",  "tern", "newt",  "wren"};
  const auto now = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  for (uint64_t attempt = 0;; ++attempt) {
    Rng rng(stream_key(now, static_cast<uint64_t>(::getpid()), attempt));
    std::string name = std::string(kFirst[rng.below(kFirst.size())]) + "-" + kSecond[rng.below(kSecond.size())];
    if (attempt > 64) { name += "-" + std::to_string(attempt); }
    const bool taken = std::any_of(runs.begin(), runs.end(), [&](const db::Run& run) { return run.name == name; });
    if (!taken) { return name; }
  }
}

// A data set has no other seed: held-out problems are those that the search does not use.
Status keep_some_back(const study::SearchOptions& options) {
  const auto left = study::held_out_limit(options.job);
  if (!options.confirm || !left || *left > 0) { return ok_status(); }
  return candidate_error("the search uses all problems of " + options.job.task.data + ": none are left to confirm on",
                         "name others with --confirm-task, take fewer with --problems, or say --no-confirm");
}

// The model that a user names, or else the one that ships: here, or in the tree that this program was built in.
Result<std::string> chosen_model(const std::string& named) {
  if (!named.empty()) { return named; }
  std::error_code ec;
  const fs::path program = fs::read_symlink("/proc/self/exe", ec).parent_path();
  for (const fs::path& root : {fs::path("."), program / "../../..", program / "../share/vortex"}) {
    const fs::path folder = root / kShippedModel;
    if (!fs::is_regular_file(folder / "config.json", ec)) { continue; }
    log_line("no --model was given: searching on the one that ships, " + folder.lexically_normal().string());
    return folder.string();
  }
  return candidate_error("which model? no --model was given, and the one that ships is not here",
                         "name a folder with --model");
}

// What the arguments ask for, complete and checked.
Result<study::SearchOptions> search_options(const SearchArguments& arguments, const Context& context) {
  study::SearchOptions options = arguments.options;
  VORTEX_ASSIGN(options.seconds, parse_duration(arguments.duration));
  if (!arguments.gpu_time.empty()) { VORTEX_ASSIGN(options.gpu_seconds, parse_duration(arguments.gpu_time)); }
  options.rank_speed = arguments.rank_speed == "modelled" ? study::RankSpeed::kModelled : study::RankSpeed::kMeasured;
  options.confirm = !arguments.no_confirm && options.writer.mode != "innovate";
  std::error_code ec;
  VORTEX_ASSIGN(const std::string model, chosen_model(arguments.model));
  options.job.model_path = fs::absolute(model, ec).lexically_normal().string();
  options.job.prefix_folder = fs::absolute(fs::path(context.workspace) / "prefixes", ec).string();
  options.job.stages = job::default_climb();
  if (!arguments.models_file.empty()) { VORTEX_ASSIGN(options.writer.models, read_file(arguments.models_file)); }
  if (options.writer.mode == "innovate") { options.job.stages = {job::Stage::kCompile, job::Stage::kValidate}; }
  for (std::string* folder :
       {&options.writer.prompts_folder, &options.writer.replies_folder, &options.writer.record_folder}) {
    if (!folder->empty()) { *folder = fs::absolute(*folder, ec).lexically_normal().string(); }
  }
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

// A new run, or the one to resume with the options it was started with.
struct Sitting {
  db::Run run;
  study::SearchOptions options;
};

Result<Sitting> new_sitting(db::Store& store, const SearchArguments& arguments, const Context& context) {
  Sitting session;
  VORTEX_ASSIGN(session.options, search_options(arguments, context));
  VORTEX_TRY(model::check_model_files(session.options.job.model_path));
  if (session.options.job.device == "cuda" && !arguments.workers_given) { session.options.workers = kWorkersOfGpu; }
  VORTEX_TRY(model::read_model_config(session.options.job.model_path));
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store.runs());
  session.run.name = run_name(runs);
  session.run.config = study::to_json(session.options).dump();
  session.run.started = wall_seconds();
  VORTEX_ASSIGN(session.run.id, store.add_run(session.run));
  return session;
}

// What a resumed search goes on from. It must not begin without: candidates would be blamed for what is gone.
Status find_what_it_needs(db::Store& store, const db::Run& run, const study::SearchOptions& options,
                          const std::string& workspace) {
  const Status model = model::check_model_files(options.job.model_path);
  if (!model.ok()) {
    return environment_error("the model of search " + run.name + " is gone: " + model.error().message,
                             "put it back where it was; a model elsewhere is a new search");
  }
  VORTEX_ASSIGN(const std::vector<db::Candidate> candidates, store.candidates(run.id));
  return db::find_sources(workspace, candidates);
}

// A budget given with --resume replaces the stored one, so that a search that is used up can go on.
Result<Sitting> resumed_sitting(db::Store& store, const SearchArguments& arguments, const Context& context) {
  Sitting session;
  VORTEX_ASSIGN(session.run, study::find_run(store, arguments.resume));
  VORTEX_ASSIGN(session.options, study::options_from_json(nlohmann::json::parse(session.run.config, nullptr, false)));
  VORTEX_TRY(find_what_it_needs(store, session.run, session.options, context.workspace));
  if (arguments.given.contains("--for")) { VORTEX_ASSIGN(session.options.seconds, parse_duration(arguments.duration)); }
  if (arguments.given.contains("--gpu-time")) {
    VORTEX_ASSIGN(session.options.gpu_seconds, parse_duration(arguments.gpu_time));
  }
  if (arguments.given.contains("--max-evals")) { session.options.max_evals = arguments.options.max_evals; }
  if (arguments.given.contains("--max-tokens")) { session.options.max_tokens = arguments.options.max_tokens; }
  if (arguments.given.contains("--max-dollars")) { session.options.max_dollars = arguments.options.max_dollars; }
  if (!arguments.given.empty()) {
    VORTEX_TRY(store.set_run_config(session.run.id, study::to_json(session.options).dump()));
  }
  return session;
}

// ": 9 pass, 3 pruned"
std::string verdicts_text(const agent::Progress& progress) {
  std::string text;
  for (const auto& [verdict, count] : progress.verdicts) {
    text += (text.empty() ? ": " : ", ") + std::to_string(count) + " " + verdict;
  }
  return text;
}

void print_end(const Context& context, const std::vector<study::FrontRow>& rows, const db::Run& run,
               const agent::Progress& progress, agent::SearchEnd end) {
  if (context.format() != Format::kText) {
    std::vector<nlohmann::json> items;
    for (const study::FrontRow& row : rows) { items.push_back(to_json(row)); }
    print_records(context.format(), "front", items);
    return;
  }
  std::cout << "\nThe front of search " << run.name << " after " << duration_text(progress.seconds_used) << ": "
            << progress.evaluated << " candidates evaluated" << verdicts_text(progress) << ", " << progress.refused
            << " refused before a worker\n\n"
            << front_table(rows).text() << "\n";
  int64_t best = 1;
  for (const study::FrontRow& row : rows) { best = row.undecided ? best : row.id; }
  std::cout << "Look further:\n";
  const auto hint = [&](const std::string& arguments, const char* meaning) {
    std::cout << "  " << command_line(context, arguments) << "\n      " << meaning << "\n";
  };
  hint("show " + std::to_string(best), "source, stages and evidence of a candidate");
  hint("replay front", "decodes again: must reproduce every token");
  hint("report", "the morning brief");
  const bool interrupted = end == agent::SearchEnd::kInterrupted;
  hint("search --resume " + run.name + (interrupted ? "" : " --for 1h"),
       interrupted ? "interrupted: this goes on" : "go on with this search");
}

// Problems that a search of its length is likely to ask after those of its climbs: two rounds of retests, then the
// first held-out ones.
std::vector<job::TaskSpec> tasks_ahead(const study::SearchOptions& options) {
  constexpr int kRounds = 2;
  std::vector<job::TaskSpec> tasks;
  for (int round = 1; round <= std::min(kRounds, options.retests); ++round) {
    tasks.push_back(study::retest_task(options.job.task, round));
  }
  for (int round = 1; round <= kRounds && options.confirm; ++round) {
    const std::optional<job::Job> held_out = study::held_out_job(options, round);
    if (held_out) { tasks.push_back(*held_out->confirm_task); }
  }
  return tasks;
}

std::unique_ptr<sandbox::WorkerSlots> worker_slots(const study::SearchOptions& options,
                                                   const sandbox::ExecutorOptions& executor, bool keep,
                                                   std::function<void(const std::string&)> on_notice) {
  std::error_code ec;
  job::Job job = options.job;
  job.dense = true;
  sandbox::WeightKeeperOptions keeper;
  keeper.worker_path = executor.worker_path;
  keeper.folder = fs::absolute(fs::path(executor.scratch_root) / "keeper", ec).string();
  keeper.environment = sandbox::worker_environment(keeper.folder);
  keeper.on_notice = std::move(on_notice);
  return sandbox::make_worker_slots(options.workers, {std::move(job), tasks_ahead(options)}, keep, keeper);
}

Result<int> search(const SearchArguments& arguments, const Context& context) {
  VORTEX_ASSIGN(const std::string worker, find_worker(context));
  VORTEX_ASSIGN(const db::WorkspaceLock lock, db::WorkspaceLock::acquire(context.workspace));
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(context.workspace));
  db::sweep_unfinished(context.workspace);
  Result<Sitting> opened =
      arguments.resume.empty() ? new_sitting(*store, arguments, context) : resumed_sitting(*store, arguments, context);
  if (!opened.ok()) { return opened.error(); }
  const Sitting session = std::move(opened).value();
  const study::SearchOptions& options = session.options;
  VORTEX_ASSIGN(vflow::ModelGeometry model, geometry_of_job(options.job));
  model.backend = limits_of_device(options.job.device);
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(options.job.model_path));
  VORTEX_TRY(model::check_covered(config, model.backend));
  VORTEX_ASSIGN(sandbox::ExecutorOptions executor,
                executor_options(context, options.stage_seconds, options.memory_bytes));

  executor.model_files = look_at_folder(options.job.model_path);

  catch_interrupts();
  Display display(options, context.workspace, session.run);
  agent::NotifyOptions notify = arguments.notify;
  notify.run = session.run.name;
  // Declared before what it listens to: what waits is told when the search has ended.
  agent::Notifier notifier(notify, monotonic_seconds, [](const std::string& message) { log_line(message); });
  const std::unique_ptr<sandbox::WorkerSlots> slots =
      worker_slots(options, executor, !arguments.no_keeper, [&](const std::string& text) { display.message(text); });
  executor.slots = slots.get();
  agent::SearchHooks hooks;
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    return sandbox::run_job(job, executor, on_result, should_stop);
  };
  hooks.modelled_speed = [&](const vflow::Policy& policy) {
    return vflow::decode_cost(policy, model, model.max_context).byte_ratio();
  };
  hooks.stop = stop_level;
  hooks.clock = monotonic_seconds;
  hooks.sleep = [](double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); };
  hooks.on_tick = [&](const agent::Progress& progress) { display.tick(progress, stop_level()); };
  hooks.on_candidate = [&](const agent::CandidateSummary& summary) { display.candidate(summary); };
  hooks.on_event = [&](const std::string& kind, const nlohmann::json& detail) { notifier.event(kind, detail); };
  hooks.on_message = [&](const std::string& message) { display.message(message); };

  display.message("search " + session.run.name + " in " + context.workspace + ": " +
                  (options.seconds > 0 ? duration_text(options.seconds) : "no time limit") + ", seed " +
                  std::to_string(options.seed) + "; Ctrl-C once finishes what runs, twice stops now");
  const Result<agent::SearchEnd> end = agent::run_search(*store, session.run, options, model, hooks);
  display.close();
  if (!end.ok()) {
    Error error = end.error();
    if (error.blame == Blame::kEnvironment) {
      error.hint += "\nresume with: " + command_line(context, "search --resume " + session.run.name);
    }
    return error;
  }
  VORTEX_ASSIGN(const study::History history, study::read_history(*store, session.run));
  print_end(context, study::front_rows(history, options), session.run, display.progress(), *end);
  return *end == agent::SearchEnd::kInterrupted ? kInterrupted : 0;
}

void add_writer_options(CLI::App* verb, study::WriterOptions& writer, std::string& models_file) {
  verb->add_option("--mode", writer.mode,
                   "of the proposers llm, command and recorded: iterate, or innovate (no benchmark)")
      ->check(CLI::IsMember({"iterate", "innovate"}));
  verb->add_option("--models", models_file, "proposer llm: file of language models (JSON; docs/proposers.md)");
  verb->add_option("--command", writer.command, "proposer command: the program that writes policies");
  verb->add_option("--command-deadline", writer.command_seconds, "seconds until its reply must be there");
  verb->add_option("--replies", writer.replies_folder, "proposer recorded: folder of kept replies");
  verb->add_option("--record", writer.record_folder, "folder to keep every prompt and reply in, for a replay");
  verb->add_option("--prompts", writer.prompts_folder, "folder of prompt templates that replace the built-in ones");
  verb->add_option("--repairs", writer.repairs, "how often a refused policy goes back with its diagnostics")
      ->check(CLI::Range(0, 7));
  verb->add_option("--notebook-tokens", writer.notebook_tokens, "of a prompt for the notebook");
  verb->add_option("--fallback", writer.fallback, "who fills in while nobody answers: none or evolve")
      ->check(CLI::IsMember({"none", "evolve"}));
}

}  // namespace

void add_search(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<SearchArguments>();
  study::SearchOptions& options = arguments->options;
  options.job.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.job.task.problems = 24;
  options.job.recall_problems = 2;
  options.job.speed_tokens = 10;
  options.job.speed_seconds = 6;
  CLI::App* verb = add_verb(app, context, "search", "Search for policies: the main job.", [arguments, &context, &app] {
    const CLI::App* parsed = app.get_subcommand("search");
    for (const char* budget : {"--for", "--gpu-time", "--max-evals", "--max-tokens", "--max-dollars"}) {
      if (parsed->count(budget) > 0) { arguments->given.insert(budget); }
    }
    arguments->workers_given = parsed->count("--workers") > 0;
    return search(*arguments, context);
  });
  verb->add_option("--config", arguments->config, "TOML file with these options by name");
  verb->add_option("--model", arguments->model, "folder of a Hugging Face checkpoint");
  verb->add_option("--for", arguments->duration, "time to spend over all sessions: 90s, 5m, 8h");
  verb->add_option("--max-evals", options.max_evals, "candidates to evaluate; 0: no limit");
  verb->add_option("--gpu-time", arguments->gpu_time, "time of GPUs held by workers, over all sessions: 6h");
  verb->add_option("--max-tokens", options.max_tokens, "of language models, prompts and replies; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--max-dollars", options.max_dollars, "to pay for language models; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--gpus", options.gpus, "GPUs that one worker holds, for --gpu-time")->check(CLI::Range(0, 64));
  verb->add_option("--notify", arguments->notify.command,
                   "command told of the end, stalls, budgets, outages and new front points ($VORTEX_EVENT: JSON)");
  verb->add_option("--webhook", arguments->notify.webhook, "URL that the same is posted to");
  verb->add_option("--retests", options.retests, "rounds of further problems for points that could change the front")
      ->check(CLI::Range(0, study::kMaxRetests));
  verb->add_option("--retest-share", options.retest_share, "problems for retests, over those of first races")
      ->check(CLI::Range(0.0, 10.0));
  verb->add_option("--control-share", options.control_share,
                   "proposals made without a look at results, to show what the search is worth")
      ->check(CLI::Range(0.0, 0.9));
  verb->add_option("--resume", arguments->resume, "continue this run with the options it was started with");
  verb->add_option("--seed", options.seed, "of every decision and draw");
  verb->add_option("--proposer", options.proposer, "who writes policies")
      ->check(CLI::IsMember(agent::proposer_names()));
  add_writer_options(verb, options.writer, arguments->models_file);
  verb->add_option("--seeds", options.seeds_folder, "folder of first policies (built-in examples)");
  verb->add_option("--rank-speed", arguments->rank_speed, "measured or modelled (deterministic)")
      ->check(CLI::IsMember({"measured", "modelled"}));
  verb->add_option("--batch", options.batch, "proposals a generation")->check(CLI::Range(1, 1000));
  verb->add_option(
          "--workers", options.workers,
          "candidates evaluated at once (with --device cuda 3: they take turns at being timed); on a CPU more than "
          "one disturb speed measurements")
      ->check(CLI::Range(1, 256));
  verb->add_option("--threads", options.job.threads, "threads of a worker")->check(CLI::Range(1, 1024));
  add_device_option(verb, options.job.device);
  add_cpu_math_option(verb, options.job.cpu_math);
  add_speed_options(verb, options.job);
  verb->add_option("--stage-deadline", options.stage_seconds,
                   "seconds that one stage may take; 0: a minute and ten times what it should cost");
  verb->add_option("--memory-limit", options.memory_bytes, "address space of a worker in bytes; 0: no limit");
  verb->add_option("--confirm-problems", arguments->confirm_problems,
                   "held-out problems for finalists at most; 0: as many as the margin needs")
      ->check(CLI::Range(0, 100000));
  verb->add_option("--margin", options.margin,
                   "accuracy that a policy may lose and still be said to keep dense attention's: 0.1 is ten points")
      ->check(CLI::Range(0.005, 0.5));
  verb->add_option("--speed-runs", options.speed_runs, "processes that measure the speed of members of the front")
      ->check(CLI::Range(1, study::kMaxSpeedRuns));
  verb->add_flag("--accept-baseline", options.accept_baseline,
                 "search even where dense attention cannot tell good policies from bad ones");
  verb->add_flag("--no-keeper", arguments->no_keeper, "every worker loads the model and computes prompts itself");
  verb->add_flag("--no-confirm", arguments->no_confirm, "skip the held-out problems");
  verb->add_option("--prefix-bytes", options.job.prefix_bytes,
                   "of prompts kept read in the workspace; those used longest ago go first")
      ->check(CLI::NonNegativeNumber);
  add_task_options(verb, arguments->tasks);
  add_workspace_option(verb, context);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
