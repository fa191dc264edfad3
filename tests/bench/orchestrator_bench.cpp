// What the orchestrator costs a candidate, evaluation aside: proposing, checking, the novelty gate, rows, the front.
// usage: orchestrator_bench [candidates]
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tests/agent/synthetic.h"

int main(int argc, char** argv) {
  using namespace vortex;
  using Clock = std::chrono::steady_clock;
  std::string folder = (std::filesystem::temp_directory_path() / "vortex-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) { return 3; }

  agent::SyntheticWorkers workers;
  workers.problems = 32;
  double evaluating = 0;
  std::atomic<double> now = 0;
  agent::SearchHooks hooks = agent::test_hooks(workers, &now);
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    // Only the stand-in's own time is taken out; storing its results is the orchestrator's.
    const auto start = Clock::now();
    auto results = workers.run(
        job, [](const auto&) {}, should_stop);
    evaluating += std::chrono::duration<double>(Clock::now() - start).count();
    for (const job::StageResult& result : *results) { on_result(result); }
    return results;
  };
  study::SearchOptions options = agent::test_options();
  options.max_evals = argc > 1 ? std::atoi(argv[1]) : 100;

  auto store = db::Store::open(folder);
  if (!store.ok()) { return 3; }
  db::Run run;
  run.name = "bench";
  run.config = study::to_json(options).dump();
  const auto id = (*store)->add_run(run);
  if (!id.ok()) { return 3; }
  run.id = *id;
  const auto start = Clock::now();
  const auto end = agent::run_search(**store, run, options, agent::test_model(), hooks);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count() - evaluating;
  std::filesystem::remove_all(folder);
  if (!end.ok()) {
    std::fprintf(stderr, "error: %s\n", end.error().message.c_str());
    return 2;
  }
  std::printf("%d candidates: %.1f ms a candidate (%.2f s; %.2f s of stand-in evaluation left out)\n",
              options.max_evals, 1000 * seconds / options.max_evals, seconds, evaluating);
  return 0;
}
