// The ladder on a small random model with latent attention and experts. What it answers is noise; that every stage
// runs, measures and says so is not.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/files.h"
#include "evals/ladder/ladder.h"
#include "evals/tasks/task.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

const std::string kSource = VORTEX_SOURCE_DIR;

class LatentLadderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string command = "python3 '" + kSource + "/tests/core/engine/decoder_reference.py' '" + kSource +
                                "/tests/cases/model/decoder_models.json' chain_words '" + folder_.path().string() + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
    fs::copy(kSource + "/models/chain-4m/tokenizer.json", folder_.path() / "tokenizer.json");
  }

  job::Job job_of(const std::string& policy, int pages) {
    job::Job job;
    job.id = policy;
    job.model_path = folder_.path();
    job.device = "cpu";
    job.threads = 1;
    job.task.definitions = 60;  // 304 tokens, 19 pages
    job.task.chain = 4;
    job.task.problems = 8;
    job.task.max_new_tokens = 12;
    job.stages = {job::Stage::kCompile, job::Stage::kValidate, job::Stage::kGate,   job::Stage::kRecall,
                  job::Stage::kRace,    job::Stage::kSpeed,    job::Stage::kConfirm};
    job.gate = {job.task};
    job.gate[0].problems = 2;
    job.gate[0].seed = 7;
    job.gate_bar = 0;  // random weights answer nothing: dense attention's outcomes are brought along
    const std::vector<Problem> problems = make_problems(job.gate[0]).value();
    for (const Problem& problem : problems) {
      job.incumbent.push_back({problem.id, 0, true, 12, problem.answers[0], "rule", std::string(64, '0')});
    }
    job.recall_problems = 1;
    job.speed_tokens = 4;
    job.speed_seconds = 0;
    job.confirm_seed = 2;
    job.confirm_problems = 2;
    job.batch = 4;
    const std::string base = kSource + "/examples/policies/mla/" + policy;
    nlohmann::json config = nlohmann::json::parse(*read_file(base + ".json"));
    config["vortex_block_size"] = 16;
    config["vortex_topk_val"] = pages;
    job.module_text = *read_file(base + ".py");
    job.config_text = config.dump();
    return job;
  }

  static std::map<job::Stage, job::StageResult> run(const job::Job& job) {
    std::map<job::Stage, job::StageResult> results;
    climb(job, {[](job::Stage, double) {}, [&](const job::StageResult& result) { results[result.stage] = result; }});
    for (const auto& [stage, result] : results) {
      EXPECT_EQ(result.verdict, job::Verdict::kPass) << job::stage_name(stage) << ": " << result.message;
    }
    return results;
  }

  vortex::testing::TempFolder folder_;
};

TEST_F(LatentLadderTest, APolicyClimbsToTheTop) {
  const auto results = run(job_of("rope_aware", 3));
  ASSERT_EQ(results.size(), 7U);
  const nlohmann::json& evidence = results.at(job::Stage::kRace).evidence;
  const auto visible = evidence.at("pages_visible").get<std::vector<int64_t>>();
  const auto attended = evidence.at("pages_attended").get<std::vector<int64_t>>();
  EXPECT_LT(attended[2] * 19, visible[2] * 6 + 1) << "3 chosen, the first and the last two of at least 19";
  EXPECT_EQ(evidence.at("dense_layer_calls"), 0);
  const job::StageResult& recall = results.at(job::Stage::kRecall);
  const job::Metric* mass = job::find_metric(recall.metrics, "mass_recall");
  ASSERT_NE(mass, nullptr);
  EXPECT_GT(mass->value, 0.0);
  EXPECT_LT(mass->value, 1.0);
  const nlohmann::json& heads = recall.evidence.at("mass_per_head");
  ASSERT_EQ(heads.size(), 3U);
  EXPECT_EQ(heads[0].size(), 1U) << "the heads of a layer share one row of the cache";
  EXPECT_NE(results.at(job::Stage::kValidate).evidence.at("oracle").get<std::string>().find("rows scored"),
            std::string::npos);
}

TEST_F(LatentLadderTest, EveryExampleAgreesWithTheOracle) {
  for (const char* name : {"rope_unaware", "rope_weighted", "lserve_centroid", "quest_mla"}) {
    SCOPED_TRACE(name);
    job::Job job = job_of(name, 3);
    job.stages = {job::Stage::kCompile, job::Stage::kValidate};
    EXPECT_EQ(run(job).size(), 2U);
  }
}

}  // namespace
}  // namespace vortex::evals
