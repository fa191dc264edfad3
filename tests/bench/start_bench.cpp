// What a candidate's start costs: workers that compile and answer one short problem, with and without a keeper of
// weights, in turns. Then the keeper is killed: the next worker must find another.
// usage: start_bench WORKER MODEL [auto|cpu|cuda] [SAMPLES]
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/clock.h"
#include "base/files.h"
#include "sandbox/executor.h"
#include "sandbox/worker_slots.h"

namespace {

using namespace vortex;

struct Sample {
  double whole = 0;  // from the order to the end of the worker
  double compile = 0;
  double race = 0;
  std::string tokens;
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "start_bench: %s\n", message.c_str());
  std::exit(1);
}

Sample climb(const job::Job& job, const sandbox::ExecutorOptions& options) {
  Sample sample;
  const double start = monotonic_seconds();
  const auto results = sandbox::run_job(job, options, {}, {});
  sample.whole = monotonic_seconds() - start;
  if (!results.ok()) { fail(results.error().message); }
  for (const job::StageResult& result : *results) {
    if (result.verdict != job::Verdict::kPass) { fail(result.message + result.log_tail); }
    (result.stage == job::Stage::kCompile ? sample.compile : sample.race) = result.seconds;
    for (const job::Outcome& outcome : result.outcomes) { sample.tokens += outcome.tokens_hash; }
  }
  return sample;
}

void print(const char* what, const std::vector<Sample>& samples) {
  const auto sorted = [&](double Sample::*member) {
    std::vector<double> seconds;
    for (const Sample& sample : samples) { seconds.push_back(sample.*member); }
    std::sort(seconds.begin(), seconds.end());
    return seconds;
  };
  const auto median = [&](double Sample::*member) { return sorted(member)[samples.size() / 2]; };
  const std::vector<double> all = sorted(&Sample::whole);
  const double whole = median(&Sample::whole);
  std::printf("%-28s %7.3f s (%.3f to %.3f)   compile %7.3f   answer %7.3f   rest %7.3f\n", what, whole, all.front(),
              all.back(), median(&Sample::compile), median(&Sample::race),
              whole - median(&Sample::compile) - median(&Sample::race));
}

job::Job job_of(const std::string& model, const std::string& device, const std::filesystem::path& folder) {
  const std::string source = VORTEX_SOURCE_DIR;
  job::Job job;
  job.id = "start";
  job.module_text = *read_file(source + "/examples/policies/block_topk.py");
  job.config_text = *read_file(source + "/examples/policies/block_topk.json");
  job.model_path = model;
  job.device = device;
  job.prefix_folder = (folder / "prefixes").string();
  job.task.definitions = 96;
  job.task.chain = 10;
  job.task.problems = 1;
  job.task.max_new_tokens = 2;
  job.race_margin = 1;
  job.stages = {job::Stage::kCompile, job::Stage::kRace};
  return job;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) { fail("usage: start_bench WORKER MODEL [auto|cpu|cuda] [SAMPLES]"); }
  std::string folder = (std::filesystem::temp_directory_path() / "start-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) { fail("cannot make a folder"); }
  const job::Job job = job_of(argv[2], argc > 3 ? argv[3] : "auto", folder);
  const int samples = argc > 4 ? std::max(1, std::atoi(argv[4])) : 5;
  job::Job shared = job;
  shared.dense = true;
  shared.module_text.clear();
  shared.config_text.clear();

  sandbox::ExecutorOptions alone;
  alone.worker_path = argv[1];
  alone.scratch_root = folder + "/scratch";
  sandbox::WeightKeeperOptions keeper;
  keeper.worker_path = argv[1];
  keeper.folder = folder + "/keeper";
  keeper.environment = sandbox::worker_environment(keeper.folder);
  keeper.on_notice = [](const std::string& text) { std::printf("notice: %s\n", text.c_str()); };
  const auto slots = sandbox::make_worker_slots(1, {shared, {}}, true, keeper);
  sandbox::ExecutorOptions kept = alone;
  kept.slots = slots.get();

  std::vector<Sample> first = {climb(job, alone)};  // compiles, tunes, computes the prompt
  const double before = monotonic_seconds();
  int process = 0;
  {
    const auto lease = slots->take();
    const auto held = lease.kept({});
    if (held == nullptr) { fail("no keeper"); }
    process = held->process;
  }
  std::printf("keeper starts in %.3f s\n", monotonic_seconds() - before);
  std::vector<Sample> without;
  std::vector<Sample> with;
  for (int i = 0; i < samples; ++i) {
    without.push_back(climb(job, alone));
    with.push_back(climb(job, kept));
    if (with.back().tokens != without.back().tokens) { fail("other tokens on kept weights"); }
  }
  print("first of all, no keeper", first);
  print("no keeper", without);
  print("keeper", with);
  ::kill(process, SIGKILL);
  const Sample healed = climb(job, kept);
  if (healed.tokens != with.back().tokens) { fail("other tokens after the keeper's death"); }
  print("keeper killed before", {healed});
  print("and after", {climb(job, kept)});
  std::filesystem::remove_all(folder);
  return 0;
}
