// What a keeper hands out and what a worker makes of it, in one process, on the CPU.
#include "evals/ladder/kept.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <utility>

#include "tests/core/model/checkpoint.h"

namespace vortex::evals {
namespace {

const std::string kModel = std::string(VORTEX_SOURCE_DIR) + "/models/chain-4m";

class KeptTest : public ::testing::Test {
 protected:
  void SetUp() override {
    job_.id = "keeper";
    job_.dense = true;
    job_.model_path = kModel;
    job_.device = "cpu";
    job_.prefix_folder = (folder_.path() / "prefixes").string();
    job_.task.definitions = 32;
    job_.task.chain = 4;
    job_.task.problems = 2;
    job_.stages = {job::Stage::kRace};
  }

  // Copies of the descriptors at neighbouring numbers, as a worker inherits them; gives the first.
  static int inherit(const KeptParts& keeping) {
    constexpr int kFirst = 200;
    for (size_t i = 0; i < keeping.descriptors.size(); ++i) {
      EXPECT_GE(::dup2(keeping.descriptors[i].get(), kFirst + static_cast<int>(i)), 0);
    }
    return kFirst;
  }
  static bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

  // Files of prompts, and what they weigh.
  int kept_prompts() const { return kept_bytes_and_count().second; }
  int64_t kept_bytes() const { return kept_bytes_and_count().first; }
  std::pair<int64_t, int> kept_bytes_and_count() const {
    std::pair<int64_t, int> sum{0, 0};
    for (const auto& entry : std::filesystem::directory_iterator(job_.prefix_folder)) {
      if (entry.path().extension() != ".kv") { continue; }
      sum.first += static_cast<int64_t>(entry.file_size());
      ++sum.second;
    }
    return sum;
  }

  vortex::testing::TempFolder folder_;
  job::Job job_;
};

TEST_F(KeptTest, AWorkerFindsModelAndPrompts) {
  const auto keeping = keep(job_);
  ASSERT_TRUE(keeping.ok()) << keeping.error().message;
  ASSERT_EQ(keeping->descriptors.size(), 2U);
  nlohmann::json label = keeping->label;
  label["descriptor"] = inherit(*keeping);
  const auto opened = open_model(kModel, label, false);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->model.weights, nullptr);
  EXPECT_EQ(opened->model.hash, model::load_model(kModel)->hash);
  ASSERT_NE(opened->kept, nullptr);
  EXPECT_EQ(opened->kept->prefix_offsets.size(), 2U);
  EXPECT_FALSE(is_open(200));
  EXPECT_FALSE(is_open(201));
}

TEST_F(KeptTest, WithoutAFolderNoPromptsAreKept) {
  job_.prefix_folder.clear();
  const auto keeping = keep(job_);
  ASSERT_TRUE(keeping.ok()) << keeping.error().message;
  EXPECT_EQ(keeping->descriptors.size(), 1U);
  EXPECT_FALSE(keeping->reader.has_value()) << "nor read ahead";
}

TEST_F(KeptTest, PromptsAreReadAheadAsFarAsTheyFit) {
  const auto keeping = keep(job_);
  ASSERT_TRUE(keeping.ok()) << keeping.error().message;
  ASSERT_TRUE(keeping->reader.has_value());
  AheadReader reader = *keeping->reader;
  job::TaskSpec first = job_.task;
  first.seed += 1;
  job::TaskSpec second = first;
  second.seed += 1;
  int asked = 0;
  const auto at_the_third = [&] { return ++asked > 2; };  // one question a task, then one a prompt
  ASSERT_TRUE(read_ahead(reader, {first, second}, at_the_third).ok());
  EXPECT_EQ(kept_prompts(), 2 + 1);
  const auto never = [] { return false; };
  ASSERT_TRUE(read_ahead(reader, {first, job_.task}, never).ok());
  EXPECT_EQ(kept_prompts(), 2 + 2) << "the missing one";
  reader.job.prefix_bytes = kept_bytes() * 5 / 4;  // room for one more, and not for two
  ASSERT_TRUE(read_ahead(reader, {second}, never).ok());
  EXPECT_EQ(kept_prompts(), 2 + 3);
}

TEST_F(KeptTest, WhatIsKeptForAnotherDeviceIsLeftAlone) {
  const auto keeping = keep(job_);
  ASSERT_TRUE(keeping.ok()) << keeping.error().message;
  nlohmann::json label = keeping->label;
  label["descriptor"] = inherit(*keeping);
  label["device"] = "cuda";
  const auto opened = open_model(kModel, label, false);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_NE(opened->model.weights, nullptr);
  EXPECT_EQ(opened->kept, nullptr);
  EXPECT_FALSE(is_open(200)) << "not kept from being freed";
}

TEST_F(KeptTest, LessMemoryThanPromisedIsTheEnvironments) {
  const auto keeping = keep(job_);
  ASSERT_TRUE(keeping.ok()) << keeping.error().message;
  nlohmann::json label = keeping->label;
  label["descriptor"] = inherit(*keeping);
  label["weight_bytes"] = label["weight_bytes"].get<int64_t>() + 1;
  const auto opened = open_model(kModel, label, false);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().blame, Blame::kEnvironment);
}

TEST_F(KeptTest, ALabelThatIsNoneIsRefused) {
  const nlohmann::json good = {{"device", "cpu"},     {"model_hash", "x"}, {"weight_bytes", 1},
                               {"embedding", "bf16"}, {"prefix_bytes", 9}, {"prefixes", {{"a.kv", 8}}},
                               {"descriptor", 1000}};
  for (const auto& [key, value] : good.items()) {
    nlohmann::json lacks = good;
    lacks.erase(key);
    const auto opened = open_model(kModel, lacks, false);
    ASSERT_FALSE(opened.ok()) << key;
    EXPECT_NE(opened.error().message.find(key), std::string::npos) << opened.error().message;
  }
  for (const nlohmann::json& outside : {nlohmann::json(9), nlohmann::json(-1), nlohmann::json("0")}) {
    nlohmann::json bad = good;
    bad["prefixes"]["a.kv"] = outside;
    EXPECT_FALSE(open_model(kModel, bad, false).ok()) << outside;
  }
}

TEST_F(KeptTest, AModelThatIsNotThereIsNamed) {
  job_.model_path = "/no/such/model";
  const auto keeping = keep(job_);
  ASSERT_FALSE(keeping.ok());
  EXPECT_EQ(keeping.error().blame, Blame::kCandidate);
}

}  // namespace
}  // namespace vortex::evals
