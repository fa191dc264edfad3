// The real keeper and the real worker, on the CPU, with the shipped model.
#include "sandbox/weight_keeper.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "sandbox/executor.h"
#include "sandbox/worker_slots.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

class WeightKeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    worker_ = std::string(VORTEX_BINARY_DIR) + "/bin/vortex-worker";
    if (!fs::exists(worker_)) { GTEST_SKIP() << "vortex-worker is not built"; }
    const fs::path source = VORTEX_SOURCE_DIR;
    for (const char* file : {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors"}) {
      fs::create_directories(folder_.path() / "model");
      fs::copy_file(source / "models/chain-4m" / file, folder_.path() / "model" / file);
    }
    job_.id = "shared";
    job_.module_text = *read_file(source / "examples/policies/quest.py");
    job_.config_text = *read_file(source / "examples/policies/quest.json");
    job_.model_path = (folder_.path() / "model").string();
    job_.prefix_folder = (folder_.path() / "prefixes").string();
    job_.device = "cpu";
    job_.task.definitions = 96;
    job_.task.chain = 10;
    job_.task.problems = 3;
    job_.task.max_new_tokens = 40;
    job_.stages = {job::Stage::kCompile, job::Stage::kRace};
  }

  WeightKeeperOptions options() {
    WeightKeeperOptions options;
    options.worker_path = worker_;
    options.folder = (folder_.path() / "keeper").string();
    options.environment = worker_environment(options.folder);
    options.on_notice = [this](const std::string& text) { notices_.push_back(text); };
    return options;
  }
  job::Job dense_job() const {
    job::Job job = job_;
    job.dense = true;
    job.module_text.clear();
    job.config_text.clear();
    return job;
  }
  // Token hashes of a climb in a worker of its own.
  std::vector<std::string> climb(WorkerSlots* slots, const job::Job& job) {
    ExecutorOptions executor;
    executor.worker_path = worker_;
    executor.scratch_root = (folder_.path() / "scratch").string();
    executor.slots = slots;
    const auto results = run_job(job, executor, {}, {});
    EXPECT_TRUE(results.ok()) << (results.ok() ? "" : results.error().message);
    std::vector<std::string> hashes;
    if (!results.ok()) { return hashes; }
    EXPECT_EQ(results->back().stage, job::Stage::kRace);
    EXPECT_EQ(results->back().verdict, job::Verdict::kPass) << results->back().message;
    hash_ = results->back().evidence.value("model_hash", "");
    for (const job::Outcome& outcome : results->back().outcomes) { hashes.push_back(outcome.tokens_hash); }
    return hashes;
  }

  testing::TempFolder folder_;
  std::string worker_;
  job::Job job_;
  std::vector<std::string> notices_;
  std::string hash_;  // of the model, as the last climb had it
};

void kill_and_wait(int process) {
  ASSERT_EQ(::kill(process, SIGKILL), 0);
  while (::kill(process, 0) == 0) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
}

TEST_F(WeightKeeperTest, WorkersOnKeptWeightsGiveTheSameTokens) {
  const std::vector<std::string> alone = climb(nullptr, job_);
  const std::string hash = hash_;
  const auto slots = make_worker_slots(1, {dense_job(), {}}, true, options());
  EXPECT_EQ(climb(slots.get(), job_), alone);
  EXPECT_EQ(hash_, hash);
  EXPECT_FALSE(alone.empty());
  EXPECT_TRUE(notices_.empty()) << notices_.front();
}

TEST_F(WeightKeeperTest, KeepsWeightsAndThePromptsOfTheTask) {
  WeightKeeper keeper(options(), {dense_job(), {}});
  const auto kept = keeper.kept({});
  ASSERT_NE(kept, nullptr) << notices_.front();
  EXPECT_EQ(kept->label.at("device"), "cpu");
  EXPECT_EQ(kept->label.at("prefixes").size(), 3U);
  EXPECT_EQ(kept->descriptors.size(), 2U);
  EXPECT_EQ(keeper.kept({}), kept) << "the same one as long as nothing happens";
}

TEST_F(WeightKeeperTest, StandsStillWhileSomethingIsTimed) {
  WeightKeeper keeper(options(), {dense_job(), {job_.task}});
  const auto kept = keeper.kept({});
  ASSERT_NE(kept, nullptr) << notices_.front();
  const std::string status = "/proc/" + std::to_string(kept->process) + "/stat";
  const auto stands = [&] { return read_file(status)->find(") T ") != std::string::npos; };
  const auto wait_until = [&](bool still) {
    while (stands() != still) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }
  };
  {
    const Quiet first(kept);
    {
      const Quiet second(kept);
      wait_until(true);
    }
    EXPECT_TRUE(stands()) << "the other one is timed still";
  }
  wait_until(false);
  EXPECT_EQ(keeper.kept({}), kept);
}

// Linux's idle class would be slow to die on a busy machine: a search whose time was up once waited ten seconds for it.
TEST_F(WeightKeeperTest, ReadsAheadWithTheLowestPriorityButNotIdle) {
  WeightKeeper keeper(options(), {dense_job(), {job_.task}});
  const auto kept = keeper.kept({});
  ASSERT_NE(kept, nullptr) << notices_.front();
  const auto process = static_cast<id_t>(kept->process);
  const auto is_normal = [&] { return ::sched_getscheduler(kept->process) == SCHED_OTHER; };
  while (is_normal() && ::getpriority(PRIO_PROCESS, process) != 19) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(is_normal());
}

TEST_F(WeightKeeperTest, ADeadKeeperIsReplacedAndTheSearchGoesOn) {
  const auto slots = make_worker_slots(1, {dense_job(), {}}, true, options());
  const std::vector<std::string> before = climb(slots.get(), job_);
  {
    const WorkerSlots::Lease lease = slots->take();
    kill_and_wait(lease.kept({})->process);
  }
  EXPECT_EQ(climb(slots.get(), job_), before);
  ASSERT_EQ(notices_.size(), 1U);
  EXPECT_NE(notices_[0].find("died"), std::string::npos) << notices_[0];
}

TEST_F(WeightKeeperTest, WhatADeadKeeperHandedOutCanStillBeRead) {
  WeightKeeper keeper(options(), {dense_job(), {}});
  const auto kept = keeper.kept({});
  ASSERT_NE(kept, nullptr);
  kill_and_wait(kept->process);
  const auto next = keeper.kept({});
  ASSERT_NE(next, nullptr);
  EXPECT_NE(next->process, kept->process);
  EXPECT_EQ(next->label, kept->label);
}

TEST_F(WeightKeeperTest, EndsWithItsOwner) {
  int process = 0;
  {
    WeightKeeper keeper(options(), {dense_job(), {}});
    const auto kept = keeper.kept({});
    ASSERT_NE(kept, nullptr);
    process = kept->process;
  }
  EXPECT_NE(::kill(process, 0), 0);
}

TEST_F(WeightKeeperTest, ChangedWeightsAreReadAgain) {
  WeightKeeper keeper(options(), {dense_job(), {}});
  const auto before = keeper.kept({});
  ASSERT_NE(before, nullptr);
  const fs::path config = folder_.path() / "model/config.json";
  std::string text = *read_file(config);
  text.replace(text.find("1e-06"), 5, "2e-06");
  ASSERT_TRUE(write_file_atomic(config, text).ok());
  const auto after = keeper.kept({});
  ASSERT_NE(after, nullptr);
  EXPECT_NE(after->label.at("model_hash"), before->label.at("model_hash"));
  EXPECT_EQ(notices_.size(), 1U);
}

TEST_F(WeightKeeperTest, WhereNoneCanBeHadWorkersLoadTheModelThemselves) {
  WeightKeeperOptions broken = options();
  broken.worker_path = "/bin/false";
  const auto slots = make_worker_slots(1, {dense_job(), {}}, true, broken);
  EXPECT_EQ(climb(slots.get(), job_), climb(nullptr, job_));
  climb(slots.get(), job_);
  climb(slots.get(), job_);
  climb(slots.get(), job_);
  EXPECT_EQ(notices_.size(), 3U) << "after a few failures it is left alone";
}

TEST_F(WeightKeeperTest, AStoppedSearchDoesNotWaitForIt) {
  WeightKeeper keeper(options(), {dense_job(), {}});
  EXPECT_EQ(keeper.kept([] { return true; }), nullptr);
  EXPECT_TRUE(notices_.empty());
}

// An empty list hides all GPUs: from workers, too.
TEST(WorkerSlotsTest, WhoMaySeeNoGpuLetsItsWorkersSeeNone) {
  const char* before = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::optional<std::string> kept = before == nullptr ? std::nullopt : std::optional<std::string>(before);
  ::setenv("CUDA_VISIBLE_DEVICES", "", 1);
  WorkerSlots slots(share_out({}, {}, 1), {});
  job::Job job;
  EXPECT_EQ(find_place(&slots, job, {}).visible_gpus, "");
  EXPECT_EQ(find_place(nullptr, job, {}).visible_gpus, "");
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(find_place(nullptr, job, {}).visible_gpus, std::nullopt);
  if (kept) { ::setenv("CUDA_VISIBLE_DEVICES", kept->c_str(), 1); }
}

TEST(WorkerSlotsTest, GivesEachPlaceToOneAtATime) {
  WorkerSlots slots(share_out({{0, "card", "GPU-a", {}}, {1, "card", "GPU-b", {}}}, {}, 2), {});
  auto first = std::make_unique<WorkerSlots::Lease>(slots.take());
  const WorkerSlots::Lease second = slots.take();
  EXPECT_EQ(first->share().visible_as, "GPU-a");
  EXPECT_EQ(second.share().visible_as, "GPU-b");
  std::string third;
  std::thread waits([&] { third = slots.take().share().visible_as; });
  first.reset();
  waits.join();
  EXPECT_EQ(third, "GPU-a");
}

}  // namespace
}  // namespace vortex::sandbox
