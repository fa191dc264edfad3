#include "agent/loop/search.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/session/notify.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/rng.h"
#include "cli/estimate.h"
#include "cli/interrupt.h"
#include "cli/policy_files.h"
#include "cli/search_arguments.h"
#include "cli/show/claim_text.h"
#include "cli/show/display.h"
#include "cli/show/front_table.h"
#include "cli/show/search_stream.h"
#include "cli/verbs/verbs.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"
#include "core/vflow/tell/cost.h"
#include "db/check.h"
#include "db/lock.h"
#include "db/reading.h"
#include "sandbox/worker_slots.h"
#include "study/held_out.h"
#include "study/history.h"
#include "study/loaded_run.h"
#include "study/retest.h"
#include "study/standing.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;

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

// A new run, or the one to resume with the options it was started with.
struct Sitting {
  db::Run run;
  study::SearchOptions options;
};

Result<Sitting> new_sitting(db::Store& store, const SearchArguments& arguments, const Context& context) {
  Sitting session;
  VORTEX_ASSIGN(session.options, search_options(store, arguments, context));
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store.runs());
  session.run.name = run_name(runs);
  session.run.config = study::to_json(session.options).dump();
  session.run.started = wall_seconds();
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
  VORTEX_ASSIGN(session.run, study::find_newest_run(store, arguments.resume));
  VORTEX_ASSIGN(session.options, study::options_of(session.run));
  if (study::is_evaluation(session.run)) {
    return candidate_error(session.run.name + " is no search: `vortex eval` measured one policy there",
                           "`vortex status` lists the searches");
  }
  VORTEX_TRY(change_budgets(arguments, session.options));
  VORTEX_TRY(find_what_it_needs(store, session.run, session.options, context.workspace));
  return session;
}

// Nothing is written before all that can be wrong with the options was looked at.
Status keep(db::Store& store, Sitting& session) {
  const std::string config = study::to_json(session.options).dump();
  if (session.run.id != 0) {
    return config == session.run.config ? ok_status() : store.set_run_config(session.run.id, config);
  }
  VORTEX_ASSIGN(session.run.id, store.add_run(session.run));
  return ok_status();
}

// ": 9 pass, 3 pruned"
std::string verdicts_text(const agent::Progress& progress) {
  std::string text;
  for (const auto& [verdict, count] : progress.verdicts) {
    text += (text.empty() ? ": " : ", ") + std::to_string(count) + " " + verdict;
  }
  return text;
}

// What to look at first: what is claimed, else the fastest member.
int64_t worth_showing(const std::vector<study::FrontRow>& rows, const std::vector<study::Claim>& claims) {
  if (const study::Claim* headline = study::headline_of(claims)) { return headline->candidate; }
  const study::FrontRow* best = &rows.front();
  for (const study::FrontRow& row : rows) {
    if (!row.is_dense() && (best->is_dense() || row.speed.value > best->speed.value)) { best = &row; }
  }
  return best->id;
}

void print_end(const Context& context, const study::History& history, const db::Run& run,
               const study::SearchOptions& options, const agent::Progress& progress, agent::SearchEnd end,
               bool resumed) {
  const study::Standing standing = study::standing_of(history, options);
  const std::vector<study::Claim> claims = study::claims_of(history, options, standing);
  const std::vector<study::FrontRow> rows =
      study::front_rows(history, options, standing, claims, standing.archive().undecided());
  if (context.format() != Format::kText) {
    std::vector<nlohmann::json> items;
    for (const study::FrontRow& row : rows) { items.push_back(front_record(row)); }
    print_records(context.format(), "front", items);
    return;
  }
  std::cout << "\nThe front of search " << run.name << " after " << duration_text(progress.seconds_used) << ": "
            << progress.evaluated << (progress.evaluated == 1 ? " candidate" : " candidates") << " evaluated"
            << (resumed ? " in this sitting" : "") << verdicts_text(progress) << ", " << progress.refused
            << " refused before a worker\n\n";
  if (rows.empty()) {
    std::cout << "There is none yet: dense attention, which all is held against, was not measured in that time.\n\n";
  } else {
    print_claim(options, claims);
    print_table(front_table(rows));
    std::cout << "\nLook further:\n";
  }
  const auto hint = [&](const std::string& arguments, const char* meaning) {
    std::cout << "  " << command_line(context, arguments) << "\n      " << meaning << "\n";
  };
  if (!rows.empty()) {
    hint("show " + std::to_string(worth_showing(rows, claims)), "source, stages and evidence of a candidate");
    hint("replay front", "decodes again: must reproduce every token");
    hint("report", "the morning brief");
  }
  const bool interrupted = end == agent::SearchEnd::kInterrupted;
  const double hours = std::ceil(std::max(options.seconds, progress.seconds_used) / 3600) + 1;
  hint("search --resume " + run.name + (interrupted ? "" : " --for " + format_number(hours) + "h"),
       interrupted ? "interrupted: this goes on" : "go on with this search");
}

// Problems that a search of its length is likely to ask after those of its climbs: six rounds of retests, then the
// first held-out ones.
std::vector<job::TaskSpec> tasks_ahead(const study::SearchOptions& options) {
  constexpr int kRetests = 6;
  constexpr int kHeldOut = 2;
  std::vector<job::TaskSpec> tasks;
  for (int round = 1; round <= std::min(kRetests, options.retests); ++round) {
    tasks.push_back(study::retest_task(options.job.task, round));
  }
  for (int round = 1; round <= kHeldOut && options.confirm; ++round) {
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

// A workspace that was made for a search that did not come to be is taken away again, with what was looked up for it.
// Lives longer than the store, and less long than the lock.
class MadeWorkspace {
 public:
  MadeWorkspace(fs::path folder, bool made) : folder_(std::move(folder)), made_(made) {}
  ~MadeWorkspace() {
    std::error_code ec;  // who cannot take it away leaves it
    if (made_) { fs::remove_all(folder_, ec); }
  }
  MadeWorkspace(const MadeWorkspace&) = delete;
  MadeWorkspace& operator=(const MadeWorkspace&) = delete;
  void keep() { made_ = false; }

 private:
  fs::path folder_;
  bool made_;
};

FleetArguments fleet_of(const SearchArguments& arguments, const study::SearchOptions& options) {
  FleetArguments fleet = arguments.fleet;
  fleet.slurm.gpus_per_worker = options.job.tensor_parallel;
  fleet.own_threads = !arguments.has("threads");
  fleet.keep = !arguments.no_keeper;
  return fleet;
}

Result<int> dry_run(const SearchArguments& arguments, const Context& context) {
  if (!arguments.resume.empty()) { VORTEX_TRY(db::check_workspace_there(context.workspace)); }
  std::error_code ec;
  const bool is_new = !fs::exists(context.workspace, ec) && !ec;
  std::optional<db::WorkspaceLock> lock;  // nobody else begins to search in what will be taken away
  if (is_new) {
    VORTEX_ASSIGN(db::WorkspaceLock held, db::WorkspaceLock::acquire(context.workspace));
    lock.emplace(std::move(held));
  }
  const MadeWorkspace made(context.workspace, is_new);
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(context.workspace));
  Result<Sitting> opened =
      arguments.resume.empty() ? new_sitting(*store, arguments, context) : resumed_sitting(*store, arguments, context);
  if (!opened.ok()) { return opened.error(); }
  const FleetArguments fleet = fleet_of(arguments, opened->options);
  VORTEX_TRY(check_fleet(fleet));
  VORTEX_ASSIGN(const Estimate cost, estimate(context, *store, opened->options));
  print_estimate(context, opened->options, cost);
  if (context.format() == Format::kText) { std::cout << shown_script(fleet, context); }
  return 0;
}

// What the loop asks of this program, and tells it.
agent::SearchHooks hooks_of(const sandbox::ExecutorOptions& executor, const std::unique_ptr<RemoteWorkers>& remote,
                            const vflow::ModelGeometry& model, Display& display, agent::Notifier& notifier,
                            SearchStream* stream) {
  agent::SearchHooks hooks;
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    if (remote != nullptr) { return remote->fleet().run_job(job, on_result, should_stop); }
    return sandbox::run_job(job, executor, on_result, should_stop);
  };
  hooks.modelled_speed = [&](const vflow::Policy& policy) {
    return vflow::decode_cost(policy, model, model.max_context).byte_ratio();
  };
  hooks.stop = stop_level;
  hooks.clock = monotonic_seconds;
  hooks.sleep = [](double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); };
  hooks.on_tick = [&](const agent::Progress& progress) { display.tick(progress, stop_level()); };
  hooks.on_candidate = [&display, stream](const agent::CandidateSummary& summary) {
    display.candidate(summary);
    if (stream != nullptr) { stream->candidate(summary); }
  };
  if (stream != nullptr) {
    hooks.on_stage = [stream](int64_t candidate, const std::string& stage, const job::StageResult& result) {
      stream->stage(candidate, stage, result);
    };
  }
  hooks.on_event = [&notifier, stream](const std::string& kind, const nlohmann::json& detail) {
    notifier.event(kind, detail);
    if (stream != nullptr) { stream->event(kind, detail); }
  };
  hooks.on_message = [&](const std::string& message) { display.message(message); };
  return hooks;
}

// Workers on other machines, once the first is there. What becomes of them is an event, as the search's own fate is.
Result<std::unique_ptr<RemoteWorkers>> remote_workers(const FleetArguments& arguments, const Context& context,
                                                      db::Store& store, const Sitting& session,
                                                      const agent::SearchHooks& hooks) {
  RemoteWorkers::Hooks told;
  told.on_message = hooks.on_message;
  told.on_event = [&store, &hooks, run = session.run.id](const std::string& kind, const nlohmann::json& detail) {
    hooks.on_message(detail.value("message", kind));
    const Status stored = store.add_event(run, kind, detail.dump());
    if (!stored.ok()) { hooks.on_message(stored.error().message); }
    hooks.on_event(kind, detail);
  };
  // The loop, which reads what others ask of it, has not begun.
  const auto stops = [&store, run = session.run.id] {
    const auto events = store.events(run);
    return !events.ok() ? 0 : std::count_if(events->begin(), events->end(), [](const db::Event& event) {
      return event.kind == "stop-requested" || event.kind == "stop-now-requested";
    });
  };
  const auto before = stops();
  VORTEX_ASSIGN(auto remote, RemoteWorkers::start(arguments, context, session.options, session.run.name,
                                                  tasks_ahead(session.options), std::move(told)));
  VORTEX_TRY(remote->wait_for_first([&] { return interrupts() > 0 || stops() > before; }));
  return remote;
}

// A search whose workers did not come has ended in order, and goes on with --resume. As far as the store takes it: the
// error is what is told.
Error ended_before_it_began(db::Store& store, const db::Run& run, const Error& error) {
  const nlohmann::json detail = {{"blame", blame_name(error.blame)}, {"message", error.message}};
  (void)store.add_event(run.id, "interrupted", detail.dump());
  (void)store.set_run_state(run.id, db::RunState::kInterrupted);
  return error;
}

Result<int> search(const SearchArguments& arguments, const Context& context) {
  VORTEX_ASSIGN(const std::string worker, find_worker(context));
  if (arguments.dry_run) { return dry_run(arguments, context); }
  if (!arguments.resume.empty()) { VORTEX_TRY(db::check_workspace_there(context.workspace)); }
  std::error_code ec;
  const bool is_new = !fs::exists(context.workspace, ec) && !ec;
  VORTEX_ASSIGN(const db::WorkspaceLock lock, db::WorkspaceLock::acquire(context.workspace));
  MadeWorkspace made(context.workspace, is_new);
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(context.workspace));
  db::sweep_unfinished(context.workspace);
  Result<Sitting> opened =
      arguments.resume.empty() ? new_sitting(*store, arguments, context) : resumed_sitting(*store, arguments, context);
  if (!opened.ok()) { return opened.error(); }
  Sitting session = std::move(opened).value();
  const study::SearchOptions& options = session.options;
  VORTEX_ASSIGN(vflow::ModelGeometry model, geometry_of_job(options.job));
  model.backend = limits_of_device(options.job.device);
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(options.job.model_path));
  VORTEX_TRY(model::check_covered(config, model.backend));
  const FleetArguments fleet = fleet_of(arguments, options);
  VORTEX_TRY(fleet.elsewhere() ? check_fleet(fleet) : sandbox::check_worker_slots(options.workers, options.job));
  VORTEX_ASSIGN(sandbox::ExecutorOptions executor,
                executor_options(context, options.stage_seconds, options.memory_bytes));
  executor.model_files = look_at_folder(options.job.model_path);
  VORTEX_TRY(keep(*store, session));
  made.keep();

  catch_interrupts();
  Display display(options, context.workspace, session.run);
  agent::NotifyOptions notify = arguments.notify;
  notify.run = session.run.name;
  // Declared before what it listens to: what waits is told when the search has ended.
  agent::Notifier notifier(notify, monotonic_seconds, [&](const std::string& message) { display.message(message); });
  SearchStream stream(session.run.name);
  std::unique_ptr<sandbox::WorkerSlots> slots;
  std::unique_ptr<RemoteWorkers> remote;
  if (!fleet.elsewhere()) {
    slots = worker_slots(options, executor, fleet.keep, [&](const std::string& text) { display.message(text); });
  }
  executor.slots = slots.get();
  agent::SearchHooks hooks =
      hooks_of(executor, remote, model, display, notifier, context.format() == Format::kJsonl ? &stream : nullptr);

  display.message("search " + session.run.name + " in " + context.workspace + ": " +
                  (options.seconds > 0 ? duration_text(options.seconds) : "no time limit") + ", seed " +
                  std::to_string(options.seed) + "; Ctrl-C once finishes what runs, twice stops now");
  if (options.seconds > 0 && session.run.seconds_used >= options.seconds) {
    display.message("its time is used up: " + duration_text(session.run.seconds_used) + " of " +
                    duration_text(options.seconds) + "; --for counts all sittings");
  }
  // Somebody who would not be told is known now, and not in the morning.
  hooks.on_event(arguments.resume.empty() ? "started" : "resumed", {{"seconds", options.seconds}});
  if (fleet.elsewhere()) {
    Result<std::unique_ptr<RemoteWorkers>> came = remote_workers(fleet, context, *store, session, hooks);
    if (!came.ok()) { return ended_before_it_began(*store, session.run, came.error()); }
    remote = std::move(came).value();
    hooks.lent_seconds = [&remote] { return remote->fleet().lent_seconds(); };
  }
  const Result<agent::SearchEnd> end = agent::run_search(*store, session.run, options, model, hooks);
  remote.reset();
  display.close();
  if (!end.ok()) {
    Error error = end.error();
    if (error.blame == Blame::kEnvironment) {
      error.hint += "\nresume with: " + command_line(context, "search --resume " + session.run.name);
    }
    return error;
  }
  VORTEX_ASSIGN(const study::History history, study::read_history(*store, session.run));
  VORTEX_ASSIGN(const db::Run ended, study::find_newest_run(*store, session.run.name));
  VORTEX_ASSIGN(const study::SearchOptions settled, study::options_of(ended));  // with what the search settled itself
  print_end(context, history, session.run, settled, display.progress(), *end, !arguments.resume.empty());
  return *end == agent::SearchEnd::kInterrupted ? kInterrupted : 0;
}

}  // namespace

void add_search(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<SearchArguments>();
  CLI::App* verb = add_verb(app, context, "search", "looks for policies that are faster and as accurate: the main job",
                            [arguments, &context, &app] {
                              note_given(*app.get_subcommand("search"), context, *arguments);
                              return search(*arguments, context);
                            });
  add_search_options(verb, *arguments, context);
}

}  // namespace vortex::cli
