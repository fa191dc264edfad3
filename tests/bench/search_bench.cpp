// Does the search earn its cost beside independent proposals, where children resemble their parents? Runs the built-in
// evolver with half of its proposals in the control arm, in many worlds, and compares the arms as `report` does.
// Asserts nothing; writes JSON to stdout.
// usage: search_bench [worlds] [evaluations of both arms together]

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "study/arms.h"
#include "study/history.h"
#include "tests/agent/heritable.h"

namespace vortex::agent {
namespace {

Result<study::ArmComparison> compare(uint64_t world, int evaluations, const std::filesystem::path& folder) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(folder));
  SyntheticWorkers workers;
  workers.truth = [world](const job::Job& job) { return heritable_quality(job, world); };
  std::atomic<double> now = 0;
  const SearchHooks hooks = test_hooks(workers, &now);
  study::SearchOptions options = test_options();
  options.seed = world;
  options.job.task.seed = world;
  options.max_evals = evaluations;
  options.control_share = 0.5;
  db::Run run;
  run.name = "world";
  run.config = study::to_json(options).dump();
  VORTEX_ASSIGN(run.id, store->add_run(run));
  VORTEX_TRY(run_search(*store, run, options, test_model(), hooks));
  VORTEX_ASSIGN(const study::History history, study::read_history(*store, run));
  study::Board board(options);
  for (const study::CandidateHistory& candidate : history.candidates) { board.update(candidate); }
  board.settle();
  const std::optional<study::ArmComparison> arms = study::arms_of(board);
  if (!arms) { return internal_error("no control arm"); }
  return *arms;
}

int run(int worlds, int evaluations) {
  std::string pattern = (std::filesystem::temp_directory_path() / "vortex-search-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) { return 3; }
  int better = 0;
  int worse = 0;
  int sure_better = 0;
  int sure_worse = 0;
  std::vector<double> search;
  std::vector<double> control;
  for (int world = 1; world <= worlds; ++world) {
    const auto folder = std::filesystem::path(pattern) / std::to_string(world);
    const Result<study::ArmComparison> arms = compare(static_cast<uint64_t>(world), evaluations, folder);
    if (!arms.ok()) {
      std::cerr << arms.error().message << "\n";
      return 2;
    }
    search.push_back(arms->search);
    control.push_back(arms->control);
    better += arms->difference > 0 ? 1 : 0;
    worse += arms->difference < 0 ? 1 : 0;
    sure_better += arms->p <= 0.05 && arms->difference > 0 ? 1 : 0;
    sure_worse += arms->p <= 0.05 && arms->difference < 0 ? 1 : 0;
    std::filesystem::remove_all(folder);
  }
  std::filesystem::remove_all(pattern);
  const auto mean = [](const std::vector<double>& x) {
    double sum = 0;
    for (double value : x) { sum += value; }
    return sum / static_cast<double>(x.size());
  };
  double spread = 0;
  const double difference = mean(search) - mean(control);
  for (size_t i = 0; i < search.size(); ++i) {
    const double off = search[i] - control[i] - difference;
    spread += off * off;
  }
  const double n = static_cast<double>(worlds);
  const nlohmann::json result = {{"worlds", worlds},
                                 {"evaluations", evaluations},
                                 {"gain_an_evaluation",
                                  {{"search", mean(search)},
                                   {"control", mean(control)},
                                   {"difference", difference},
                                   {"standard_error", n > 1 ? std::sqrt(spread / (n - 1) / n) : 0.0}}},
                                 {"worlds_search_ahead", better},
                                 {"worlds_control_ahead", worse},
                                 {"worlds_test_says_search", sure_better},
                                 {"worlds_test_says_control", sure_worse}};
  std::cout << result.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace vortex::agent

int main(int argc, char** argv) {
  return vortex::agent::run(argc > 1 ? std::atoi(argv[1]) : 40, argc > 2 ? std::atoi(argv[2]) : 60);
}
