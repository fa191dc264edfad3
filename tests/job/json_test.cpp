#include <gtest/gtest.h>

#include "base/files.h"
#include "job/job.h"
#include "job/stage.h"

namespace vortex::job {
namespace {

Job full_job() {
  Job job;
  job.id = "candidate-7";
  job.module_text = "import vortex_torch\n\"quotes\" and \u00fcmlauts";
  job.config_text = "{\"topk_val\": 3}";
  job.model_path = "models/chain-4m";
  job.task.definitions = 96;
  job.task.chain = 10;
  job.task.problems = 24;
  job.task.trials = 2;
  job.task.seed = 0xffffffffffffffffULL;
  job.task.max_new_tokens = 120;
  job.task.temperature = 0.6;
  job.task.top_p = 0.95;
  job.task.top_k = 20;
  job.stages = {Stage::kCompile, Stage::kRace, Stage::kConfirm};
  job.seed = 42;
  job.prefix_folder = "prefixes";
  job.incumbent = {{"chain-96-10-s1-000", 1, true, 105, "042", "three digits", "ab12"}};
  job.race_margin = 0.125;
  job.rivals = {{7, 1.5e9, {0.25, 0.5}}};
  job.cpu_math = "bf16";
  job.tensor_parallel = 2;
  job.threads = 2;
  job.batch = 8;
  job.recall_problems = 3;
  job.speed_tokens = 32;
  job.speed_seconds = 1.5;
  job.speed_precision = 0.02;
  job.task.workload = WorkloadSpec{"lognormal", 480, 150, 9000, 0.7, 20000, 5};
  job.confirm_seed = 9;
  job.confirm_problems = 64;
  job.kv_memory_bytes = int64_t{1} << 40;
  return job;
}

StageResult full_result() {
  StageResult result;
  result.stage = Stage::kRace;
  result.verdict = Verdict::kPass;
  result.metrics = {{"accuracy", 0.75, 0.5, 0.9, ""}, {"tokens_per_s", 1e6, 9e5, 1.1e6, "tok/s"}};
  result.outcomes = {{"p", 0, true, 165, "042", "rule", "00ff"}, {"p", 1, false, 192, "", "none", "11"}};
  result.evidence = {{"sparse_layer_calls", 12}, {"model", "beef"}};
  result.seconds = 1.25;
  result.log_tail = "warning: none\n";
  return result;
}

nlohmann::json cases(const std::string& name) {
  const auto text = read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/evals/" + name);
  EXPECT_TRUE(text.ok());
  return nlohmann::json::parse(*text).at("cases");
}

TEST(JobJson, KeepsEveryMember) {
  const nlohmann::json json = to_json(full_job());
  const auto back = job_from_json(nlohmann::json::parse(json.dump()));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(to_json(*back), json);
  EXPECT_EQ(back->task.seed, 0xffffffffffffffffULL);
  EXPECT_EQ(back->incumbent.at(0).tokens_hash, "ab12");
}

TEST(JobJson, DefaultsWhatIsAbsent) {
  const auto job = job_from_json(nlohmann::json::parse(R"({"id": "a", "model_path": "m", "stages": []})"));
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->task.problems, TaskSpec{}.problems);
  EXPECT_EQ(job->batch, Job{}.batch);
}

TEST(JobJson, RefusesBadJobs) {
  for (const nlohmann::json& item : cases("bad_jobs.json")) {
    nlohmann::json json = to_json(full_job());
    json["task"]["seed"] = 1;
    json.merge_patch(item.at("patch"));
    const auto job = job_from_json(json);
    ASSERT_FALSE(job.ok()) << item;
    EXPECT_NE(job.error().message.find(item.at("says").get<std::string>()), std::string::npos) << item << "\n"
                                                                                               << job.error().message;
    EXPECT_EQ(job.error().blame, Blame::kCandidate);
  }
}

TEST(JobJson, AWorkloadWritesWhatItsKindReads) {
  TaskSpec task;
  EXPECT_FALSE(to_json(task).contains("workload")) << "tasks without one keep their hash";
  task.workload = WorkloadSpec{};
  const nlohmann::json dense = to_json(task);
  EXPECT_EQ(dense.at("workload"), nlohmann::json::parse(R"({"answers": "dense", "requests": 0, "prompt": 0})"));
  ASSERT_TRUE(task_from_json(dense).ok());
  nlohmann::json mean = dense;
  mean["workload"]["mean"] = 100;
  EXPECT_FALSE(task_from_json(mean).ok()) << "lengths of dense attention have no mean to choose";
  mean["workload"]["answers"] = "lognormal";
  EXPECT_EQ(task_from_json(mean)->workload->mean, 100);
}

TEST(JobJson, SuggestsTheNearestKey) {
  nlohmann::json json = to_json(full_job());
  json["speed_secs"] = 1;
  const auto job = job_from_json(json);
  ASSERT_FALSE(job.ok());
  EXPECT_EQ(job.error().hint, "did you mean \"speed_seconds\"?");
}

TEST(JobJson, RefusesWhatIsNoObject) {
  for (const char* text : {"null", "[]", "3", "\"job\""}) {
    EXPECT_FALSE(job_from_json(nlohmann::json::parse(text)).ok()) << text;
    EXPECT_FALSE(task_from_json(nlohmann::json::parse(text)).ok()) << text;
    EXPECT_FALSE(stage_result_from_json(nlohmann::json::parse(text)).ok()) << text;
  }
}

TEST(StageResultJson, KeepsEveryMember) {
  const nlohmann::json json = to_json(full_result());
  const auto back = stage_result_from_json(nlohmann::json::parse(json.dump()));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(to_json(*back), json);
  EXPECT_FALSE(back->blame.has_value());

  StageResult failed = full_result();
  failed.verdict = Verdict::kTimeout;
  failed.blame = Blame::kCandidate;
  const auto failed_back = stage_result_from_json(to_json(failed));
  ASSERT_TRUE(failed_back.ok());
  EXPECT_EQ(failed_back->blame, Blame::kCandidate);
}

TEST(StageResultJson, RefusesBadResults) {
  for (const nlohmann::json& item : cases("bad_results.json")) {
    nlohmann::json json = to_json(full_result());
    json.merge_patch(item.at("patch"));
    const auto result = stage_result_from_json(json);
    ASSERT_FALSE(result.ok()) << item;
    EXPECT_NE(result.error().message.find(item.at("says").get<std::string>()), std::string::npos)
        << item << "\n"
        << result.error().message;
  }
}

TEST(StageResultJson, MetricsTravelAlone) {
  nlohmann::json json = nlohmann::json::array();
  for (const Metric& metric : full_result().metrics) { json.push_back(to_json(metric)); }
  const auto metrics = metrics_from_json(json);
  ASSERT_TRUE(metrics.ok());
  ASSERT_NE(find_metric(*metrics, "accuracy"), nullptr);
  EXPECT_EQ(find_metric(*metrics, "accuracy")->hi, 0.9);
  EXPECT_EQ(find_metric(*metrics, "speed"), nullptr);
  EXPECT_FALSE(metrics_from_json(nlohmann::json::object()).ok());
}

TEST(Names, GoBothWays) {
  for (int i = 0; i <= static_cast<int>(Stage::kConfirm); ++i) {
    const auto stage = static_cast<Stage>(i);
    EXPECT_EQ(stage_from_name(stage_name(stage)), stage);
  }
  for (int i = 0; i <= static_cast<int>(Verdict::kError); ++i) {
    const auto verdict = static_cast<Verdict>(i);
    EXPECT_EQ(verdict_from_name(verdict_name(verdict)), verdict);
  }
  EXPECT_FALSE(stage_from_name("Race").has_value());
}

}  // namespace
}  // namespace vortex::job
