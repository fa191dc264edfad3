// What the orchestrator costs where its workers are elsewhere: a search over so many workers that dial in from another
// process and make their results up. Prints a line of JSON: CPU time of the orchestrator's process, its memory, and its
// efficiency: seconds in which workers did tasks, over workers times wall clock. Retests and held-out problems, of
// which a few are asked while the other workers have nothing to do, are in that; `climbs` is the same of the time in
// which candidates climbed. usage: scale_bench WORKERS [CANDIDATES (1000)] [SECONDS of a climb (1)] [BATCH (WORKERS)]
// [SPREAD (0.5)] [OVERLAP (0)]
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <list>

#include "base/clock.h"
#include "tests/agent/simulated_pool.h"
#include "tests/fleet/made_up.h"

namespace vortex {
namespace {

// What both processes see.
struct Counts {
  std::atomic<int64_t> busy_us = 0;
  std::atomic<int64_t> tasks = 0;
};

struct Settings {
  int workers = 0;
  int candidates = 1000;
  double seconds = 1;
  int batch = 0;
  double spread = 0.5;
  int overlap = 0;
};

// How busy workers are while candidates climb, by looks at the search's progress.
class Climbs {
 public:
  void look(const agent::Progress& progress) {
    const double now = monotonic_seconds();
    const auto climbing = std::count_if(progress.running.begin(), progress.running.end(), [](const auto& one) {
      return one.second.find('-') == std::string::npos && !one.second.starts_with("confirm");
    });
    if (climbing > 0) {
      wall_ += now - last_;
      busy_ += (now - last_) * static_cast<double>(climbing);
    }
    last_ = now;
  }
  double wall() const { return wall_; }
  double efficiency(int workers) const { return wall_ > 0 ? busy_ / (workers * wall_) : 0; }

 private:
  double last_ = monotonic_seconds();
  double wall_ = 0;
  double busy_ = 0;
};

// The search keeps to the first of the cores that this program may use, its workers to the others, so that neither
// waits for the other and a measurement needs one quiet core. Where there is only one they share it.
void keep_to(bool first) {
  cpu_set_t all;
  if (::sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2) { return; }
  size_t lowest = 0;
  while (!CPU_ISSET(lowest, &all)) { ++lowest; }
  cpu_set_t mine;
  CPU_ZERO(&mine);
  CPU_SET(lowest, &mine);
  if (!first) { CPU_XOR(&mine, &mine, &all); }
  (void)::sched_setaffinity(0, sizeof mine, &mine);  // a hint
}

int work(int port_pipe, const Settings& settings, Counts& counts) {
  keep_to(false);
  int port = 0;
  if (::read(port_pipe, &port, sizeof port) != static_cast<ssize_t>(sizeof port)) { return 3; }
  std::list<fleet::MadeUpWorkshop> shops;
  std::list<fleet::Hand> hands;
  for (int i = 0; i < settings.workers; ++i) {
    fleet::MadeUpWorkshop& shop = shops.emplace_back();
    shop.before = [&counts, &settings](const job::Job& job, const auto&) {
      const double length = agent::task_seconds(job, settings.seconds, settings.spread);
      std::this_thread::sleep_for(std::chrono::duration<double>(length));
      counts.busy_us += static_cast<int64_t>(1e6 * length);
      ++counts.tasks;
    };
    fleet::PilotOptions options = fleet::made_up_pilot({"127.0.0.1", port}, std::to_string(i));
    options.machine.node = "node-" + std::to_string(i / 8);
    hands.emplace_back(options, shop);
  }
  for (fleet::Hand& hand : hands) { (void)hand.end(); }
  return 0;
}

int64_t peak_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) { return std::atoll(line.c_str() + 6); }
  }
  return 0;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int search(int port_pipe, const Settings& settings, const Counts& counts) {
  keep_to(true);
  study::SearchOptions options = agent::test_options();
  options.workers = settings.workers;
  options.batch = settings.batch;
  options.overlap = settings.overlap;
  options.max_evals = settings.candidates;
  auto fleet = fleet::Fleet::open(fleet::made_up_fleet(options.job));
  if (!fleet.ok()) { return 3; }
  const int port = (*fleet)->address().port;
  if (::write(port_pipe, &port, sizeof port) != static_cast<ssize_t>(sizeof port)) { return 3; }
  while ((*fleet)->ready() < settings.workers) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
  std::string folder = (std::filesystem::temp_directory_path() / "vortex-scale-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) { return 3; }
  auto store = db::Store::open(folder);
  if (!store.ok()) { return 3; }
  db::Run run;
  run.name = "bench";
  run.config = study::to_json(options).dump();
  const auto id = (*store)->add_run(run);
  if (!id.ok()) { return 3; }
  run.id = *id;
  agent::SyntheticWorkers unused;
  std::atomic<double> now = 0;
  agent::SearchHooks hooks = agent::test_hooks(unused, &now);
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    return (*fleet)->run_job(job, on_result, should_stop);
  };
  hooks.clock = monotonic_seconds;
  hooks.sleep = [](double pause) { std::this_thread::sleep_for(std::chrono::duration<double>(pause)); };
  Climbs climbs;
  const double begin = monotonic_seconds();
  const double cpu = cpu_seconds();
  int refused = 0;
  int counted = 0;  // candidates evaluated by the look at which half of them were
  double cpu_halfway = cpu;
  hooks.on_tick = [&](const agent::Progress& progress) {
    climbs.look(progress);
    refused = progress.refused;
    if (counted > 0 || progress.evaluated < settings.candidates / 2) { return; }
    counted = progress.evaluated;
    cpu_halfway = cpu_seconds();
  };
  const auto end = agent::run_search(**store, run, options, agent::test_model(), hooks);
  const double wall = monotonic_seconds() - begin;
  const double used = cpu_seconds() - cpu;
  (*fleet)->close();
  std::filesystem::remove_all(folder);
  if (!end.ok()) {
    std::fprintf(stderr, "error: %s\n", end.error().message.c_str());
    return 2;
  }
  const double tasks = static_cast<double>(counts.tasks);
  const double busy = 1e-6 * static_cast<double>(counts.busy_us);
  const nlohmann::json result = {
      {"workers", settings.workers},
      {"candidates", settings.candidates},
      {"refused", refused},
      {"batch", settings.batch},
      {"overlap", settings.overlap},
      {"climb_seconds", settings.seconds},
      {"spread", settings.spread},
      {"tasks", tasks},
      {"wall_seconds", wall},
      {"cpu_ms_a_candidate", 1000 * used / settings.candidates},
      {"cpu_ms_a_candidate_of_second_half", 1000 * (cpu + used - cpu_halfway) / (settings.candidates - counted)},
      {"cpu_ms_a_task", 1000 * used / tasks},
      {"efficiency", busy / (settings.workers * wall)},
      {"climbs", {{"wall_seconds", climbs.wall()}, {"efficiency", climbs.efficiency(settings.workers)}}},
      {"peak_mb", static_cast<double>(peak_kilobytes()) / 1024}};
  std::printf("%s\n", result.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace vortex

int main(int argc, char** argv) {
  vortex::Settings settings;
  settings.workers = argc > 1 ? std::atoi(argv[1]) : 0;
  if (settings.workers < 1) {
    std::fprintf(stderr, "usage: scale_bench WORKERS [CANDIDATES] [SECONDS of a climb] [BATCH] [SPREAD] [OVERLAP]\n");
    return 1;
  }
  if (argc > 2) { settings.candidates = std::atoi(argv[2]); }
  if (argc > 3) { settings.seconds = std::atof(argv[3]); }
  settings.batch = argc > 4 ? std::atoi(argv[4]) : settings.workers;
  if (argc > 5) { settings.spread = std::atof(argv[5]); }
  if (argc > 6) { settings.overlap = std::atoi(argv[6]); }
  void* memory = ::mmap(nullptr, sizeof(vortex::Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int ends[2];
  if (memory == MAP_FAILED || ::pipe(ends) != 0) { return 3; }
  auto* counts = new (memory) vortex::Counts;
  const pid_t child = ::fork();
  if (child == 0) { return vortex::work(ends[0], settings, *counts); }
  const int code = vortex::search(ends[1], settings, *counts);
  ::close(ends[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return code;
}
