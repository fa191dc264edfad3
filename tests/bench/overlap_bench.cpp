// How busy a search keeps many workers, on a made-up clock: a climb takes as long as it is said to, the search as much
// processor time as it needs, on one core. The search and its database are the product's; workers make their results
// up. Prints a line of JSON: `busy` is seconds in which workers did tasks over workers times the time until the end,
// `busy_while_proposing` from the proposals of the third batch to those of the last; `first_climb` and `last_climb` are
// when candidates began to climb. Asserts nothing. usage: overlap_bench WORKERS [CANDIDATES (1000)] [SECONDS of a
// climb (60)] [BATCH (WORKERS)] [OVERLAP (0)] [SPREAD (0.5)]
#include <stdlib.h>

#include <cstdio>
#include <filesystem>

#include "tests/agent/simulated_pool.h"

namespace vortex::agent {
namespace {

struct Settings {
  int workers = 0;
  double seconds = 60;
  double spread = 0.5;
};

// What has been done by then.
struct Mark {
  double busy = 0;
  double time = 0;
};

Result<nlohmann::json> run(const Settings& settings, const study::SearchOptions& options, const std::string& folder) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(folder));
  db::Run row;
  row.name = "bench";
  row.config = study::to_json(options).dump();
  VORTEX_ASSIGN(row.id, store->add_run(row));
  SyntheticWorkers workers;
  SimulatedPool pool(settings.workers, true);
  SearchHooks hooks = simulated_hooks(workers, pool, settings.seconds, settings.spread);
  std::map<int64_t, Mark> marks;  // by the batch that is proposed
  std::map<std::string, int> tasks;
  double first_climb = 0;  // when the first one after dense attention's began
  double last_climb = 0;
  const RunJob run_job = hooks.run_job;
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    const bool climbs = job.stages.size() > 1;
    ++tasks[climbs ? "climb" : std::string(job::stage_name(job.stages.front()))];
    if (climbs) { last_climb = pool.now(); }
    if (climbs && !job.dense && first_climb == 0) { first_climb = last_climb; }
    return run_job(job, on_result, should_stop);
  };
  int refused = 0;
  std::vector<double> quarters;  // processor time by the end of each
  hooks.on_tick = [&](const Progress& progress) {
    refused = progress.refused;
    marks.try_emplace(progress.batch, Mark{pool.busy_seconds(), pool.now()});
    const int quarter = 4 * progress.evaluated / options.max_evals;
    while (static_cast<int>(quarters.size()) < quarter) { quarters.push_back(pool.work_seconds()); }
  };
  VORTEX_TRY(run_search(*store, row, options, test_model(), hooks));
  const Mark& from = marks[std::min<int64_t>(3, marks.rbegin()->first)];
  const Mark& to = marks[options.max_evals / options.batch];
  for (size_t i = quarters.size(); i > 1; --i) { quarters[i - 1] -= quarters[i - 2]; }
  for (double& quarter : quarters) { quarter *= 4000.0 / options.max_evals; }
  return nlohmann::json{{"workers", settings.workers},
                        {"candidates", options.max_evals},
                        {"batch", options.batch},
                        {"overlap", options.overlap},
                        {"climb_seconds", settings.seconds},
                        {"spread", settings.spread},
                        {"refused", refused},
                        {"tasks", tasks},
                        {"seconds", pool.now()},
                        {"first_climb", first_climb},
                        {"last_climb", last_climb},
                        {"busy", pool.busy_seconds() / (settings.workers * pool.now())},
                        {"busy_while_proposing", (to.busy - from.busy) / (settings.workers * (to.time - from.time))},
                        {"cpu_ms_a_candidate", 1000 * pool.work_seconds() / options.max_evals},
                        {"cpu_ms_a_candidate_by_quarter", quarters}};
}

}  // namespace
}  // namespace vortex::agent

int main(int argc, char** argv) {
  using namespace vortex;
  agent::Settings settings;
  settings.workers = argc > 1 ? std::atoi(argv[1]) : 0;
  if (settings.workers < 1) {
    std::fprintf(stderr, "usage: overlap_bench WORKERS [CANDIDATES] [SECONDS] [BATCH] [OVERLAP] [SPREAD]\n");
    return 1;
  }
  study::SearchOptions options = agent::test_options();
  options.workers = settings.workers;
  options.max_evals = argc > 2 ? std::atoi(argv[2]) : 1000;
  settings.seconds = argc > 3 ? std::atof(argv[3]) : 60;
  options.batch = argc > 4 ? std::atoi(argv[4]) : settings.workers;
  options.overlap = argc > 5 ? std::atoi(argv[5]) : 0;
  settings.spread = argc > 6 ? std::atof(argv[6]) : 0.5;
  std::string folder = (std::filesystem::temp_directory_path() / "vortex-overlap-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) { return 3; }
  const auto result = agent::run(settings, options, folder);
  std::filesystem::remove_all(folder);
  if (!result.ok()) {
    std::fprintf(stderr, "error: %s\n", result.error().message.c_str());
    return 2;
  }
  std::printf("%s\n", result->dump().c_str());
  return 0;
}
