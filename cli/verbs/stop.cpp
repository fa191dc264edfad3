#include <iostream>
#include <memory>

#include "cli/verbs/verbs.h"
#include "db/lock.h"
#include "study/loaded_run.h"

namespace vortex::cli {
namespace {

struct StopArguments {
  std::string run;
  bool now = false;
};

// The search that is to stop; only one that runs can.
Result<db::Run> running_search(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(context.workspace));
  VORTEX_ASSIGN(const db::Run run, study::find_newest_run(*store, name));
  const bool held = db::lock_holder(context.workspace).has_value();
  const bool running = run.state == db::RunState::kRunning;
  if (running && held) { return run; }
  const std::string state = running ? "cut off" : std::string(name_of(run.state));
  return candidate_error("search " + run.name + " is not running: it is " + state,
                         "`vortex search --resume " + run.name + "` goes on with it");
}

// The search reads its events every second; the database takes writes beside its own.
Result<int> stop(const Context& context, const StopArguments& arguments) {
  VORTEX_ASSIGN(const db::Run run, running_search(context, arguments.run));
  const std::string kind = arguments.now ? "stop-now-requested" : "stop-requested";
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(context.workspace));
  VORTEX_TRY(store->add_event(run.id, kind, "{}"));
  if (context.format() != Format::kText) {
    print_record(context.format(), "stop", {{"run", run.name}, {"event", kind}});
    return 0;
  }
  std::cout << "asked " << run.name
            << (arguments.now ? " to stop now; what it was evaluating starts over on resume\n"
                              : " to stop once what it is evaluating has ended (--now does not wait)\n");
  return 0;
}

}  // namespace

void add_stop(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<StopArguments>();
  CLI::App* verb = add_verb(app, context, "stop", "asks a running search to end; it can be resumed",
                            [&context, arguments] { return stop(context, *arguments); });
  verb->add_option("run", arguments->run, "the search, by name or number (the newest)");
  verb->add_flag("--now", arguments->now, "end the running evaluations too");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
