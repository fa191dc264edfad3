// A long search with an evaluator that takes no time: what the orchestrator itself holds and costs, a row a thousand
// candidates. Writes a Markdown table; asserts nothing. The last rows beside the first ones say whether a night of it
// is like its first minute.
// usage: soak_bench [candidates (10000)] [rows a table (10)] [modelled|measured (modelled)] [folder]
// A folder that is named keeps the workspace: tests/bench/same_decisions.py compares two of them.

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {
namespace {

namespace fs = std::filesystem;

struct Sample {
  int64_t evaluated = 0;
  int64_t proposed = 0;
  double wall = 0;
  double cpu = 0;
  double database = 0;  // bytes, of the log beside it, too
  double objects = 0;   // files
};

double cpu_seconds() {
  rusage use = {};
  ::getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

double resident_bytes() {
  double pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double files_below(const fs::path& folder) {
  double count = 0;
  std::error_code ec;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ec)) { count += entry.is_regular_file(ec) ? 1 : 0; }
  return count;
}

double descriptors() {
  double count = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", ec)) { count += entry.path().empty() ? 0 : 1; }
  return count - 1;  // the listing's own
}

Sample sample(const fs::path& folder, int64_t evaluated, int64_t proposed) {
  std::error_code ec;
  Sample now{evaluated, proposed, monotonic_seconds(), cpu_seconds(), 0, files_below(folder / "objects")};
  for (const char* name : {"vortex.db", "vortex.db-wal"}) {
    const auto size = fs::file_size(folder / name, ec);
    if (!ec) { now.database += static_cast<double>(size); }
  }
  return now;
}

void print_row(const fs::path& folder, Sample& last, int64_t evaluated, int64_t refused) {
  const Sample now = sample(folder, evaluated, evaluated + refused);
  const auto each = static_cast<double>(now.evaluated - last.evaluated);
  std::printf("| %lld | %.2f | %.2f | %.1f | %.0f | %.1f | %.2f | %.2f |\n", static_cast<long long>(evaluated),
              1e3 * (now.wall - last.wall) / each, 1e3 * (now.cpu - last.cpu) / each, resident_bytes() / (1 << 20),
              descriptors(), (now.database - last.database) / each / 1024, (now.objects - last.objects) / each,
              static_cast<double>(now.proposed - last.proposed) / each);
  std::fflush(stdout);
  last = now;
}

Status soak(const fs::path& folder, int64_t candidates, int64_t rows, study::RankSpeed rank) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(folder));
  SyntheticWorkers workers;
  workers.problems = 24;
  std::atomic<double> clock = 0;
  SearchHooks hooks = test_hooks(workers, &clock);
  const int64_t step = std::max<int64_t>(1, candidates / rows);
  int64_t refused = 0;
  Sample last = sample(folder, 0, 0);
  hooks.on_tick = [&](const Progress& progress) {
    refused = progress.refused;
    if (progress.evaluated >= last.evaluated + step) { print_row(folder, last, progress.evaluated, refused); }
  };
  study::SearchOptions options = test_options();
  options.max_evals = static_cast<int>(candidates);
  options.rank_speed = rank;
  db::Run run;
  run.name = "soak";
  run.config = study::to_json(options).dump();
  run.state = db::RunState::kRunning;
  VORTEX_ASSIGN(run.id, store->add_run(run));
  std::printf(
      "| candidates | wall ms each | CPU ms each | resident MiB | descriptors | database KiB each | objects each | "
      "proposals each |\n"
      "|---|---|---|---|---|---|---|---|\n");
  VORTEX_TRY(run_search(*store, run, options, test_model(), hooks));
  print_row(folder, last, candidates + 1, refused);
  return ok_status();
}

}  // namespace
}  // namespace vortex::agent

int main(int argc, char** argv) {
  using vortex::study::RankSpeed;
  const int64_t candidates = argc > 1 ? std::atoll(argv[1]) : 10000;
  const int64_t rows = argc > 2 ? std::atoll(argv[2]) : 10;
  const bool measured = argc > 3 && std::string_view(argv[3]) == "measured";
  std::string folder = (std::filesystem::temp_directory_path() / "vortex-soak-XXXXXX").string();
  if (argc <= 4 && ::mkdtemp(folder.data()) == nullptr) { return 3; }
  const vortex::Status status = vortex::agent::soak(argc > 4 ? argv[4] : folder, candidates, rows,
                                                    measured ? RankSpeed::kMeasured : RankSpeed::kModelled);
  if (argc <= 4) { std::filesystem::remove_all(folder); }
  if (status.ok()) { return 0; }
  std::fprintf(stderr, "error: %s\n", status.error().message.c_str());
  return vortex::exit_code(status.error().blame);
}
