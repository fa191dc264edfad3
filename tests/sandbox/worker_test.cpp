#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/files.h"
#include "sandbox/executor.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

// The real worker under the real limits: the shipped model, a small job.
class WorkerTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.worker_path = std::string(VORTEX_BINARY_DIR) + "/bin/vortex-worker";
    if (!fs::exists(options_.worker_path)) { GTEST_SKIP() << "vortex-worker is not built"; }
    std::string path = (fs::temp_directory_path() / "vortex-worker-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    options_.scratch_root = folder_ / "scratch";
    options_.memory_bytes = int64_t{4} << 30;
    const std::string source = VORTEX_SOURCE_DIR;
    job_.id = "quest";
    job_.module_text = *read_file(source + "/examples/policies/quest.py");
    job_.config_text = *read_file(source + "/examples/policies/quest.json");
    job_.model_path = source + "/models/chain-4m";
    job_.prefix_folder = folder_ / "prefixes";
    job_.task.definitions = 96;
    job_.task.chain = 10;
    job_.task.problems = 4;
    job_.task.max_new_tokens = 110;
    job_.stages = {job::Stage::kCheck, job::Stage::kCompile, job::Stage::kValidate, job::Stage::kRace};
  }
  void TearDown() override {
    if (!folder_.empty()) { fs::remove_all(folder_); }
  }

  fs::path folder_;
  ExecutorOptions options_;
  job::Job job_;
};

TEST_F(WorkerTest, ClimbsInItsProcess) {
  std::vector<job::Stage> streamed;
  const auto results =
      run_job(job_, options_, [&](const job::StageResult& result) { streamed.push_back(result.stage); }, {});
  ASSERT_TRUE(results.ok()) << results.error().message;
  ASSERT_EQ(results->size(), 3U) << results->back().message << results->back().log_tail;
  for (const job::StageResult& result : *results) { EXPECT_EQ(result.verdict, job::Verdict::kPass) << result.message; }
  EXPECT_EQ(streamed, (std::vector<job::Stage>{job::Stage::kCompile, job::Stage::kValidate, job::Stage::kRace}));
  EXPECT_EQ(results->back().outcomes.size(), 4U);
  EXPECT_FALSE(fs::is_empty(job_.prefix_folder));
  EXPECT_TRUE(fs::is_empty(options_.scratch_root));
}

// The list of system calls is measured, so it must be measured again: here a call that is on no list kills the worker
// instead of failing.
TEST_F(WorkerTest, ClimbsWithNoCallThatIsOnNoList) {
  options_.jail.kill_unlisted = true;
  job_.stages = {job::Stage::kCompile, job::Stage::kValidate, job::Stage::kRecall, job::Stage::kRace,
                 job::Stage::kSpeed};
  job_.recall_problems = 1;
  job_.recall_tokens = 16;
  job_.speed_tokens = 8;
  job_.speed_seconds = 0.1;
  job_.device = "cpu";
  for (const int threads : {1, 2}) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    job_.threads = threads;
    const auto results = run_job(job_, options_, {}, {});
    ASSERT_TRUE(results.ok()) << results.error().message;
    EXPECT_EQ(results->back().stage, job::Stage::kSpeed);
    EXPECT_EQ(results->back().verdict, job::Verdict::kPass) << results->back().message << results->back().log_tail;
  }
}

TEST_F(WorkerTest, SaysWhatHeldIt) {
  job_.stages = {job::Stage::kCompile};
  const auto results = run_job(job_, options_, {}, {});
  ASSERT_TRUE(results.ok()) << results.error().message;
  const nlohmann::json& sandbox = results->front().evidence.at("sandbox");
  const JailSupport support = jail_support(options_.jail);
  size_t active = 0;
  for (const LayerReport& report : support.layers) { active += report.state == LayerState::kActive ? 1U : 0U; }
  EXPECT_EQ(sandbox.at("held").size(), active) << sandbox.dump() << " and a trial found otherwise";
}

TEST_F(WorkerTest, IsKilledAtItsDeadline) {
  job_.task.problems = 2000;
  job_.prefix_folder.clear();
  job_.stages = {job::Stage::kRace};
  options_.deadlines[job::Stage::kRace] = 1.0;
  const auto results = run_job(job_, options_, {}, {});
  ASSERT_TRUE(results.ok()) << results.error().message;
  ASSERT_EQ(results->size(), 1U);
  EXPECT_EQ(results->front().verdict, job::Verdict::kTimeout);
  EXPECT_EQ(results->front().blame, Blame::kCandidate);
}

TEST_F(WorkerTest, RefusesAPolicyWithItsDiagnostics) {
  job_.module_text = "x = open('/etc/passwd')\n";
  const auto results = run_job(job_, options_, {}, {});
  ASSERT_TRUE(results.ok()) << results.error().message;
  ASSERT_EQ(results->size(), 1U);
  EXPECT_EQ(results->front().verdict, job::Verdict::kFail);
  EXPECT_NE(results->front().message.find("policy.py:1"), std::string::npos) << results->front().message;
}

}  // namespace
}  // namespace vortex::sandbox
