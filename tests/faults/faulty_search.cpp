// A search with stand-ins for workers, begun or resumed in a workspace, for schedules.py to disturb. Each job starts a
// program through the keeper as a real one would. Exit code as of `vortex search`.
// usage: faulty_search WORKSPACE

#include <cstdio>
#include <filesystem>

#include "db/check.h"
#include "db/lock.h"
#include "sandbox/folders.h"
#include "sandbox/run_program.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {
namespace {

Result<db::Run> run_of(db::Store& store, const study::SearchOptions& options) {
  VORTEX_ASSIGN(const auto known, store.find_run("faulty"));
  if (known) { return *known; }
  db::Run run;
  run.name = "faulty";
  run.config = to_json(options).dump();
  VORTEX_ASSIGN(run.id, store.add_run(run));
  return run;
}

// What a worker's start takes: a scratch folder, and a program in it.
Status start_something(const std::string& scratch_root) {
  VORTEX_ASSIGN(const auto scratch, sandbox::ScratchFolder::make(scratch_root));
  sandbox::Launch launch;
  launch.argv = {"/bin/true"};
  launch.environment = {"PATH=/usr/bin:/bin"};
  launch.folder = scratch->path();
  VORTEX_ASSIGN(const auto outcome, sandbox::run_program(launch, {}, {}, {}));
  return outcome.failure.empty() ? ok_status() : Status(environment_error("the program " + outcome.failure));
}

Status search(const std::string& workspace) {
  VORTEX_ASSIGN(const auto store, db::Store::open(workspace));
  VORTEX_ASSIGN(const auto lock, db::WorkspaceLock::acquire(workspace));
  db::sweep_unfinished(workspace);
  study::SearchOptions options = test_options();
  options.max_evals = 8;
  VORTEX_ASSIGN(const db::Run run, run_of(*store, options));
  SyntheticWorkers workers;
  workers.problems = 4;
  std::atomic<double> now = 0;
  SearchHooks hooks = test_hooks(workers, &now);
  hooks.run_job = [&](const auto& job, const auto& on_result, const auto& should_stop) {
    const Status started = start_something(workspace + "/scratch");
    if (!started.ok()) { return Result<std::vector<job::StageResult>>(started.error()); }
    return workers.run(job, on_result, should_stop);
  };
  VORTEX_TRY(run_search(*store, run, options, test_model(), hooks));
  return ok_status();
}

}  // namespace
}  // namespace vortex::agent

int main(int argc, char** argv) {
  if (argc != 2) { return 1; }
  const vortex::Status status = vortex::agent::search(argv[1]);
  if (status.ok()) { return 0; }
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return vortex::exit_code(status.error().blame);
}
