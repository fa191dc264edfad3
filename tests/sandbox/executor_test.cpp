#include "sandbox/executor.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <limits>
#include <thread>

#include "base/files.h"
#include "base/text.h"
#include "job/protocol.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const json& worker_cases() {
  static const json data =
      json::parse(*read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/sandbox/workers.json"));
  return data;
}

std::string joined(const json& lines) { return join(lines.get<std::vector<std::string>>(), "\n") + "\n"; }

// A folder with a fake worker and what it leaves; removed afterwards.
class ExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (fs::temp_directory_path() / "vortex-executor-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    options_.worker_path = folder_ / "worker.sh";
    options_.scratch_root = folder_ / "scratch";
    fs::create_directories(folder_ / "shared");
    // The fakes are shell scripts, which start other programs. jail_test holds a worker by all layers.
    options_.jail.off = {Layer::kNamespaces, Layer::kUser, Layer::kLandlock, Layer::kSeccomp};
    options_.jail.executable = {"/usr", "/bin", "/lib", "/lib64"};
    job_.id = "test";
    job_.model_path = "models/none";
    job_.prefix_folder = folder_ / "shared";
    job_.stages = {job::Stage::kCheck, job::Stage::kCompile, job::Stage::kRace};
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write_worker(const std::string& script) {
    ASSERT_TRUE(write_file_atomic(options_.worker_path, joined(worker_cases().at("preamble")) + script).ok());
    ASSERT_EQ(::chmod(options_.worker_path.c_str(), 0755), 0);
  }

  Result<std::vector<job::StageResult>> run() {
    return run_job(
        job_, options_, [&](const job::StageResult& result) { streamed_.push_back(result.stage); },
        [&] { return stop_.load(); });
  }

  std::string left(const std::string& name) {
    const auto text = read_file(folder_ / "shared" / name);
    return text.ok() ? *text : "";
  }

  bool scratch_is_empty() { return fs::is_empty(options_.scratch_root); }

  fs::path folder_;
  ExecutorOptions options_;
  job::Job job_;
  std::vector<job::Stage> streamed_;
  std::atomic<bool> stop_ = false;
};

// Gone, or dead and waiting for whoever adopted it to notice.
bool has_ended(int pid) {
  if (::kill(pid, 0) != 0) { return true; }
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  return !stat.ok() || stat->find(") Z ") != std::string::npos;
}

void expect_results(const json& expected, const std::vector<job::StageResult>& results) {
  ASSERT_EQ(results.size(), expected.size());
  for (size_t i = 0; i < results.size(); ++i) {
    const job::StageResult& result = results[i];
    const json& want = expected[i];
    EXPECT_EQ(job::stage_name(result.stage), want.at("stage").get<std::string>());
    EXPECT_EQ(job::verdict_name(result.verdict), want.at("verdict").get<std::string>()) << result.message;
    EXPECT_EQ(result.blame ? std::string(blame_name(*result.blame)) : "", want.value("blame", "")) << result.message;
    EXPECT_NE(result.message.find(want.value("says", "")), std::string::npos) << result.message;
    if (want.contains("how")) { EXPECT_EQ(result.evidence.at("exit").at("how"), want.at("how")); }
    if (result.blame && result.evidence.contains("exit")) { EXPECT_TRUE(result.evidence.at("exit").at("tree_gone")); }
    // Whatever a worker did, what we keep of it can be written and read.
    EXPECT_TRUE(job::stage_result_from_json(json::parse(job::to_json(result).dump())).ok());
  }
}

class WorkerCase : public ExecutorTest, public testing::WithParamInterface<std::tuple<size_t, bool>> {};

TEST_P(WorkerCase, IsHandled) {
  const json& item = worker_cases().at("cases").at(std::get<0>(GetParam()));
  const bool in_namespaces = std::get<1>(GetParam());
  SCOPED_TRACE(item.at("name").get<std::string>() + (in_namespaces ? ", in namespaces" : ""));
  if (in_namespaces) {
    options_.jail.off = {Layer::kSeccomp};
    if (jail_support(options_.jail).namespaces == NamespaceMode::kNone) { GTEST_SKIP() << "no namespaces here"; }
  }
  write_worker(joined(item.at("script")));
  const double deadline = item.value("deadline", 20.0);
  options_.deadlines = {{job::Stage::kCompile, deadline}, {job::Stage::kRace, deadline}};
  options_.start_seconds = item.value("start_seconds", 20.0);
  options_.idle_seconds = item.value("idle_seconds", 20.0);
  options_.cpu_seconds = item.value("cpu_seconds", 60.0);
  const auto results = run();
  if (item.contains("error")) {
    ASSERT_FALSE(results.ok());
    EXPECT_EQ(results.error().blame, Blame::kEnvironment);
    EXPECT_NE(results.error().message.find(item.at("error").get<std::string>()), std::string::npos)
        << results.error().message;
  } else {
    ASSERT_TRUE(results.ok()) << results.error().message;
    expect_results(item.at("results"), *results);
    EXPECT_EQ(streamed_.size(), results->size());
    EXPECT_NE(results->back().log_tail.find(item.value("log", "")), std::string::npos) << results->back().log_tail;
    EXPECT_LE(results->back().log_tail.size(), 3 * job::kLogTailBytes);
  }
  // In namespaces a process does not know the number that we would have to look for.
  for (const json& file : in_namespaces ? json::array() : item.value("gone", json::array())) {
    const std::string pid = left(file.get<std::string>());
    ASSERT_FALSE(pid.empty()) << file;
    EXPECT_TRUE(has_ended(std::stoi(pid))) << file;
  }
  EXPECT_TRUE(scratch_is_empty());
}

INSTANTIATE_TEST_SUITE_P(All, WorkerCase,
                         testing::Combine(testing::Range(size_t{0}, worker_cases().at("cases").size()),
                                          testing::Bool()));

TEST_F(ExecutorTest, AWorkerThatCannotBeExecutedIsTheEnvironmentsFault) {
  const auto missing = run();
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().blame, Blame::kEnvironment);
  EXPECT_NE(missing.error().message.find("worker.sh: No such file"), std::string::npos) << missing.error().message;
  ASSERT_TRUE(write_file_atomic(options_.worker_path, "no program").ok());
  const auto no_program = run();
  ASSERT_FALSE(no_program.ok());
  EXPECT_EQ(no_program.error().blame, Blame::kEnvironment);
  EXPECT_TRUE(scratch_is_empty());
}

TEST_F(ExecutorTest, WhatCannotBeStartedIsNamed) {
  write_worker("hello\n");
  options_.jail.off = {Layer::kSeccomp};
  options_.jail.bubblewrap = folder_ / "bwrap";
  fs::create_symlink("/usr/bin/bwrap", options_.jail.bubblewrap);
  if (jail_support(options_.jail).namespaces == NamespaceMode::kNone) { GTEST_SKIP() << "no namespaces here"; }
  fs::remove(options_.jail.bubblewrap);  // e.g. while it is brought up to date under a running search
  const auto gone = run();
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().blame, Blame::kEnvironment);
  EXPECT_NE(gone.error().message.find("/bwrap: No such file"), std::string::npos) << gone.error().message;

  Launch unnamed;
  unnamed.argv = {""};
  const auto nameless = ProcessTree::start(unnamed);
  ASSERT_FALSE(nameless.ok());
  EXPECT_EQ(nameless.error().blame, Blame::kInternal);
}

TEST_F(ExecutorTest, EnvironmentAndLimitsAreScrubbed) {
  ASSERT_EQ(::setenv("VORTEX_TEST_API_KEY", "secret", 1), 0);
  options_.memory_bytes = int64_t{3} << 30;
  options_.cpu_seconds = 100;
  write_worker(
      "hello; env | sort > $dir/env; pwd > $dir/pwd; ulimit -v > $dir/memory; ulimit -c > $dir/core;"
      "ulimit -t > $dir/cpu; ulimit -n > $dir/files; ls /proc/self/fd | wc -l > $dir/fds;"
      "grep NoNewPrivs /proc/self/status > $dir/privs; start compile; pass compile; start race; pass race\n");
  const auto results = run();
  ::unsetenv("VORTEX_TEST_API_KEY");
  ASSERT_TRUE(results.ok()) << results.error().message;
  const std::string pwd = left("pwd").substr(0, left("pwd").size() - 1);
  EXPECT_NE(pwd.find("/scratch/worker-"), std::string::npos);
  std::vector<std::string> names;
  for (const std::string& line : split_lines(left("env"))) {
    const std::string name = line.substr(0, line.find('='));
    if (name != "PWD" && name != "OLDPWD" && name != "SHLVL" && name != "_") {
      names.push_back(name);  // the shell's own
    }
    if (name == "HOME") { EXPECT_EQ(line, "HOME=" + pwd); }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"HOME", "LANG", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PATH", "TMPDIR"}));
  EXPECT_EQ(left("memory"), std::to_string(3 << 20) + "\n");
  EXPECT_EQ(left("core"), "0\n");
  EXPECT_EQ(left("cpu"), "100\n");
  EXPECT_EQ(left("files"), "512\n");
  EXPECT_EQ(left("fds"), "4\n") << "the standard three and ls's own";
  EXPECT_NE(left("privs").find("1"), std::string::npos);
}

TEST_F(ExecutorTest, TheWorkerGetsTheJobWithAbsolutePaths) {
  job_.module_text = std::string(400'000, 'x');  // more than a socket holds
  write_worker("hello; printf '%s' \"$job\" > $dir/job; start compile; pass compile; start race; pass race\n");
  const auto results = run();
  ASSERT_TRUE(results.ok()) << results.error().message;
  const auto request = job::parse_request(left("job"));
  ASSERT_TRUE(request.ok()) << request.error().message;
  const auto& job = std::get<job::Job>(*request);
  EXPECT_EQ(job.module_text.size(), job_.module_text.size());
  EXPECT_EQ(job.model_path, (fs::current_path() / "models/none").string());
}

TEST_F(ExecutorTest, DoesWithoutCachesWhenTheDiskIsNearlyFull) {
  options_.cache_reserve_bytes = std::numeric_limits<int64_t>::max();
  write_worker(
      "hello; start compile; case $job in *'\"prefix_folder\":\"\"'*) pass compile; start race; pass race;; esac\n");
  const auto results = run();
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(results->size(), 2U) << "the job names no folder for caches";
  EXPECT_EQ(results->back().verdict, job::Verdict::kPass);
}

// Whatever came of a stage during which the model changed is nobody's result.
TEST_F(ExecutorTest, AModelThatChangesIsTheEnvironmentsFault) {
  const std::string model = folder_ / "model";
  ASSERT_TRUE(write_file_atomic(model + "/weights", "0123").ok());
  ASSERT_TRUE(write_file_atomic(model + "/config.json", "{}").ok());
  job_.model_path = model;
  options_.model_files = look_at_folder(model);
  const std::string expected = R"({"verdict": "error", "blame": "environment", "says": "the model changed while it )"
                               R"(was in use: )";
  const auto expect_change = [&](const std::string& script, const std::string& stage, const std::string& what) {
    write_worker(script);
    const auto results = run();
    ASSERT_TRUE(results.ok()) << results.error().message;
    json wanted = json::parse(expected + what + "\"}");
    ASSERT_FALSE(results->empty());
    // What a worker does between two stages may be seen after the one or before the other.
    const bool early = stage == "race" && results->back().stage == job::Stage::kCompile;
    wanted["stage"] = early ? "compile" : stage;
    expect_results(json::array({wanted}), {results->back()});
    EXPECT_EQ(results->back().evidence.at("model_changed"), what);
    EXPECT_EQ(results->size(), stage == "compile" || early ? 1U : 2U);
  };
  const std::string in_model = "cd " + model + "; ";
  expect_change(in_model + "hello; start compile; printf x >> weights; pass compile; sleep 100\n", "compile",
                "weights was changed");
  // Before the first stage: somebody changed it between two jobs.
  expect_change("hello; start compile; sleep 100\n", "compile", "weights was changed");
  options_.model_files = {};
  expect_change(in_model + "hello; start compile; pass compile; rm config.json; start race; sleep 100\n", "race",
                "config.json is gone");
  expect_change(in_model + "hello; start compile; pass compile; start race; echo > new; kill -BUS $$\n", "race",
                "new is new");
}

TEST_F(ExecutorTest, StopsOnRequest) {
  write_worker("hello; start compile; echo $$ > $dir/pid; sleep 100\n");
  std::thread stopper([&] {
    while (left("pid").empty()) { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }
    stop_ = true;
  });
  const auto results = run();
  stopper.join();
  ASSERT_TRUE(results.ok()) << results.error().message;
  expect_results(json::parse(R"([{"stage": "compile", "verdict": "error", "blame": "environment",
                                  "says": "stopped on request", "how": "stopped"}])"),
                 *results);
  EXPECT_TRUE(has_ended(std::stoi(left("pid"))));
}

TEST_F(ExecutorTest, NothingToDoStartsNothing) {
  job_.stages = {job::Stage::kCheck, job::Stage::kNovelty};
  const auto results = run();  // there is no worker at all
  ASSERT_TRUE(results.ok());
  EXPECT_TRUE(results->empty());
}

// Workers side by side do not hold each other's streams open.
TEST_F(ExecutorTest, RunsFromSeveralThreads) {
  write_worker("hello; start compile; sleep 0.1; pass compile; start race; sleep 0.1; pass race\n");
  std::atomic<int> passed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 2; ++repeat) {
        const auto results = run_job(job_, options_, {}, {});
        if (results.ok() && results->size() == 2 && results->back().verdict == job::Verdict::kPass) { ++passed; }
      }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  EXPECT_EQ(passed, 12);
  EXPECT_TRUE(scratch_is_empty());
}

// Kill -9 of the orchestrator takes the worker's whole tree along.
TEST_F(ExecutorTest, TheTreeDiesWithTheOrchestrator) {
  write_worker(
      "hello; start compile; (setsid sh -c 'echo $$ > '$dir'/pid1; exec sleep 100' &) ; sleep 0.1;"
      "echo $$ > $dir/pid; sleep 100\n");
  const pid_t orchestrator = ::fork();
  ASSERT_GE(orchestrator, 0);
  if (orchestrator == 0) {
    (void)run();
    ::_exit(0);
  }
  while (left("pid").empty() || left("pid1").empty()) { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }
  ASSERT_EQ(::kill(orchestrator, SIGKILL), 0);
  const int worker = std::stoi(left("pid"));
  const int daemon = std::stoi(left("pid1"));
  for (int i = 0; i < 500 && !(has_ended(worker) && has_ended(daemon)); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(has_ended(worker));
  EXPECT_TRUE(has_ended(daemon));
}

}  // namespace
}  // namespace vortex::sandbox
