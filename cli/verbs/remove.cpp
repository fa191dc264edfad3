#include <iostream>
#include <memory>

#include "cli/verbs/verbs.h"
#include "db/check.h"
#include "db/lock.h"
#include "db/reading.h"
#include "study/loaded_run.h"

namespace vortex::cli {
namespace {

struct RemoveArguments {
  std::string run;
  bool yes = false;
};

Result<int> remove(const Context& context, const RemoveArguments& arguments) {
  VORTEX_TRY(db::check_workspace_there(context.workspace));
  VORTEX_ASSIGN(const db::WorkspaceLock lock, db::WorkspaceLock::acquire(context.workspace));
  db::Run run;
  size_t candidates = 0;
  {
    VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(context.workspace));
    VORTEX_ASSIGN(run, study::find_run(*store, arguments.run));
    VORTEX_ASSIGN(const std::vector<db::Candidate> rows, store->candidates(run.id));
    candidates = rows.size();
  }
  const std::string what =
      run.name + ", " + std::to_string(candidates) + " candidates, " + duration_text(run.seconds_used) + " of search";
  if (!arguments.yes) {
    return candidate_error("nothing was removed: this would be the end of " + what,
                           "--yes removes it; `vortex db backup FOLDER` copies the workspace first");
  }
  VORTEX_TRY(db::remove_run(context.workspace, run.id));
  VORTEX_ASSIGN(const db::VacuumReport report, db::vacuum(context.workspace));
  if (context.format() != Format::kText) {
    print_record(context.format(), "removed",
                 {{"run", run.name}, {"candidates", candidates}, {"objects_removed", report.objects_removed}});
    return 0;
  }
  std::cout << "removed " << what << ", and " << report.objects_removed << " objects that no other search needs\n";
  return 0;
}

}  // namespace

void add_remove(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<RemoveArguments>();
  CLI::App* verb = add_verb(app, context, "rm", "removes a search and everything that only it needs",
                            [&context, arguments] { return remove(context, *arguments); });
  verb->add_option("run", arguments->run, "the search, by name or number")->required();
  verb->add_flag("--yes", arguments->yes, "do it, instead of saying what would go");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
