// What the orchestrator costs where its workers are elsewhere: a search over so many workers that dial in from another
// process and make their results up. Prints a line of JSON.
// usage: scale_bench WORKERS [CANDIDATES (1000)] [SECONDS of a task (1)] [BATCH (WORKERS)]
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
#include "tests/fleet/made_up.h"

namespace vortex {
namespace {

// What both processes see.
struct Counts {
  std::atomic<int64_t> busy_us = 0;
  std::atomic<int64_t> tasks = 0;
};

// A task takes between half and one and a half times `seconds`, fixed for its policy.
double seconds_of(const job::Job& job, double seconds) {
  const std::string hash = sha256_hex(job.module_text + job.config_text + std::to_string(job.task.seed));
  return seconds * (0.5 + Rng(std::stoull(hash.substr(0, 15), nullptr, 16)).uniform());
}

int work(int port_pipe, int workers, double seconds, Counts& counts) {
  int port = 0;
  if (::read(port_pipe, &port, sizeof port) != static_cast<ssize_t>(sizeof port)) { return 3; }
  std::list<fleet::MadeUpWorkshop> shops;
  std::list<fleet::Hand> hands;
  for (int i = 0; i < workers; ++i) {
    fleet::MadeUpWorkshop& shop = shops.emplace_back();
    shop.before = [&counts, seconds](const job::Job& job, const auto&) {
      const double length = seconds_of(job, seconds);
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

int search(int port_pipe, int workers, int candidates, double seconds, int batch, const Counts& counts) {
  study::SearchOptions options = agent::test_options();
  options.workers = workers;
  options.batch = batch;
  options.max_evals = candidates;
  auto fleet = fleet::Fleet::open(fleet::made_up_fleet(options.job));
  if (!fleet.ok()) { return 3; }
  const int port = (*fleet)->address().port;
  if (::write(port_pipe, &port, sizeof port) != static_cast<ssize_t>(sizeof port)) { return 3; }
  while ((*fleet)->ready() < workers) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
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
  double now = 0;
  agent::SearchHooks hooks = agent::test_hooks(unused, &now);
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    return (*fleet)->run_job(job, on_result, should_stop);
  };
  hooks.clock = monotonic_seconds;
  hooks.sleep = [](double pause) { std::this_thread::sleep_for(std::chrono::duration<double>(pause)); };
  const double begin = monotonic_seconds();
  const double cpu = cpu_seconds();
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
  std::printf(
      "{\"workers\": %d, \"candidates\": %d, \"batch\": %d, \"task_seconds\": %g, \"tasks\": %.0f, \"wall_seconds\": "
      "%.2f, \"cpu_ms_a_candidate\": %.3f, \"cpu_ms_a_task\": %.3f, \"efficiency\": %.3f, \"peak_mb\": %.1f}\n",
      workers, candidates, batch, seconds, tasks, wall, 1000 * used / candidates, 1000 * used / tasks,
      1e-6 * static_cast<double>(counts.busy_us) / (workers * wall), static_cast<double>(peak_kilobytes()) / 1024);
  return 0;
}

}  // namespace
}  // namespace vortex

int main(int argc, char** argv) {
  const int workers = argc > 1 ? std::atoi(argv[1]) : 0;
  if (workers < 1) {
    std::fprintf(stderr, "usage: scale_bench WORKERS [CANDIDATES (1000)] [SECONDS of a task (1)] [BATCH (WORKERS)]\n");
    return 1;
  }
  const int candidates = argc > 2 ? std::atoi(argv[2]) : 1000;
  const double seconds = argc > 3 ? std::atof(argv[3]) : 1;
  const int batch = argc > 4 ? std::atoi(argv[4]) : workers;
  void* memory = ::mmap(nullptr, sizeof(vortex::Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int ends[2];
  if (memory == MAP_FAILED || ::pipe(ends) != 0) { return 3; }
  auto* counts = new (memory) vortex::Counts;
  const pid_t child = ::fork();
  if (child == 0) { return vortex::work(ends[0], workers, seconds, *counts); }
  const int code = vortex::search(ends[1], workers, candidates, seconds, batch, *counts);
  ::close(ends[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return code;
}
