#include "evals/ladder/ladder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <map>

#include "base/files.h"
#include "base/process_lock.h"
#include "evals/ladder/build_id.h"
#include "evals/tasks/task.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

const std::string kSource = VORTEX_SOURCE_DIR;
const std::vector<job::Stage> kAllStages = {job::Stage::kCompile, job::Stage::kValidate, job::Stage::kRecall,
                                            job::Stage::kRace,    job::Stage::kSpeed,    job::Stage::kConfirm};

// A tiny random model that reads and writes the chain task's words, and jobs for it.
class LadderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    vortex::testing::TinyModel tiny;
    tiny.layers = 3;
    tiny.vocab = 1024;
    vortex::testing::write_checkpoint(folder_.path(), tiny);
    fs::copy(kSource + "/models/chain-4m/tokenizer.json", folder_.path() / "tokenizer.json");
  }

  job::Job dense_job() {
    job::Job job;
    job.id = "dense";
    job.dense = true;
    job.model_path = folder_.path();
    job.task.definitions = 60;  // 304 tokens, 19 pages
    job.task.chain = 4;
    job.task.problems = 12;
    job.task.max_new_tokens = 20;
    job.stages = kAllStages;
    job.prefix_folder = folder_.path() / "prefixes";
    job.recall_problems = 2;
    job.speed_tokens = 6;
    job.speed_seconds = 0;
    job.confirm_seed = 2;
    job.confirm_problems = 5;
    job.batch = 4;
    return job;
  }

  // One of the example policies with one budget for all layers but the first, and with changes to its configuration.
  job::Job policy_job(const std::string& name, const nlohmann::json& config_patch) {
    job::Job job = dense_job();
    job.id = name;
    job.dense = false;
    job.module_text = *read_file(kSource + "/examples/policies/" + name + ".py");
    nlohmann::json config = nlohmann::json::parse(*read_file(kSource + "/examples/policies/" + name + ".json"));
    config.merge_patch({{"vortex_layers_skip", {0}}, {"vortex_topk_ratio", 0}});
    config.merge_patch(config_patch);
    job.config_text = config.dump();
    return job;
  }

  // Every result of a climb, which must be announced beforehand, each by stage.
  std::map<job::Stage, job::StageResult> run(const job::Job& job) {
    std::map<job::Stage, job::StageResult> results;
    std::optional<job::Stage> announced;
    climb(job, {[&](job::Stage stage, double planned) {
                  announced = stage;
                  planned_[stage] = planned;
                },
                [&](const job::StageResult& result) {
                  EXPECT_EQ(announced, result.stage);
                  EXPECT_FALSE(result.evidence.empty());
                  EXPECT_TRUE(job::stage_result_from_json(nlohmann::json::parse(to_json(result).dump())).ok());
                  results[result.stage] = result;
                }});
    return results;
  }

  vortex::testing::TempFolder folder_;
  std::map<job::Stage, double> planned_;  // seconds that the last climb planned
};

void expect_all_pass(const std::map<job::Stage, job::StageResult>& results, size_t stages) {
  EXPECT_EQ(results.size(), stages);
  for (const auto& [stage, result] : results) {
    EXPECT_EQ(result.verdict, job::Verdict::kPass) << job::stage_name(stage) << ": " << result.message;
  }
}

double value_of(const job::StageResult& result, std::string_view name) {
  const job::Metric* metric = job::find_metric(result.metrics, name);
  EXPECT_NE(metric, nullptr) << name;
  return metric == nullptr ? -1 : metric->value;
}

std::vector<std::string> hashes_of(const std::vector<job::Outcome>& outcomes) {
  std::vector<std::string> hashes;
  for (const job::Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.tokens_hash.size(), 64U);
    hashes.push_back(outcome.problem + "/" + std::to_string(outcome.trial) + " " + outcome.tokens_hash);
  }
  return hashes;
}

TEST_F(LadderTest, DenseAttentionClimbsToTheTop) {
  const auto results = run(dense_job());
  expect_all_pass(results, 6);
  const job::StageResult& race = results.at(job::Stage::kRace);
  EXPECT_EQ(race.outcomes.size(), 12U);
  EXPECT_EQ(job::find_metric(race.metrics, "accuracy_difference"), nullptr) << "nothing to be compared with";
  EXPECT_EQ(race.evidence.at("sparse_layer_calls"), 0);
  EXPECT_GT(race.evidence.at("dense_layer_calls").get<int>(), 0);
  EXPECT_EQ(race.evidence.at("rounds"), nlohmann::json::parse("[12]")) << "nothing to stop for";
  EXPECT_EQ(value_of(results.at(job::Stage::kRecall), "mass_recall"), 1.0);
  EXPECT_EQ(value_of(results.at(job::Stage::kSpeed), "speedup_vs_dense"), 1.0);
  EXPECT_GT(value_of(results.at(job::Stage::kSpeed), "tokens_per_s"), 0.0);
  EXPECT_EQ(results.at(job::Stage::kConfirm).outcomes.size(), 5U);
  EXPECT_EQ(results.at(job::Stage::kConfirm).outcomes[0].problem, "chain-60-4-s2-000");
}

TEST_F(LadderTest, APolicyClimbsWithEvidence) {
  const auto results = run(policy_job("quest", {{"vortex_topk_val", 3}}));
  expect_all_pass(results, 6);
  const nlohmann::json& evidence = results.at(job::Stage::kRace).evidence;
  EXPECT_EQ(evidence.at("model_hash").get<std::string>().size(), 64U);
  EXPECT_EQ(evidence.at("policy_key").get<std::string>().size(), 64U);
  EXPECT_EQ(evidence.at("build_id"), build_id());
  EXPECT_GT(evidence.at("sparse_layer_calls").get<int>(), 0);
  // Layer 0 is dense; the others attend 6 of at least 19 pages: 3 chosen, the first and the last two.
  const auto visible = evidence.at("pages_visible").get<std::vector<int64_t>>();
  const auto attended = evidence.at("pages_attended").get<std::vector<int64_t>>();
  EXPECT_EQ(attended[0], visible[0]);
  EXPECT_EQ(attended[1] % 6, 0);
  EXPECT_LT(attended[1] * 19, visible[1] * 6 + 1);
  EXPECT_FALSE(results.at(job::Stage::kCompile).evidence.at("stages").empty());
  EXPECT_EQ(evidence.at("kernels").size(), 1U);
  EXPECT_NE(results.at(job::Stage::kValidate).evidence.at("oracle").get<std::string>().find("rows scored"),
            std::string::npos);
  const job::StageResult& recall = results.at(job::Stage::kRecall);
  EXPECT_GT(value_of(recall, "mass_recall"), 0.0);
  EXPECT_LT(value_of(recall, "mass_recall"), 1.0);
  EXPECT_GT(value_of(recall, "kl"), 0.0);
  EXPECT_LT(value_of(recall, "mass_recall_chosen"), value_of(recall, "mass_recall")) << "reserved pages are left out";
  EXPECT_GT(value_of(recall, "index_recall"), 0.0);
  EXPECT_LT(value_of(recall, "index_recall_chosen"), 1.0);
  const nlohmann::json& heads = recall.evidence.at("mass_per_head");
  ASSERT_EQ(heads.size(), 3U);
  EXPECT_EQ(heads[0], nlohmann::json({1.0, 1.0})) << "layer 0 is dense";
  EXPECT_NEAR((heads[1][0].get<double>() + heads[1][1].get<double>()) / 2,
              recall.evidence.at("mass_per_layer")[1].get<double>(), 1e-12);
  const job::StageResult& speed = results.at(job::Stage::kSpeed);
  EXPECT_EQ(speed.evidence.at("pairs"), 6);
  EXPECT_EQ(speed.evidence.at("requests"), 4);
  // Fixed work: four requests of six tokens, the first of each from prefill, six times.
  EXPECT_EQ(speed.evidence.at("decode_tokens"), 4 * 5 * 6);
  EXPECT_NEAR(value_of(results.at(job::Stage::kConfirm), "accuracy_difference"),
              value_of(results.at(job::Stage::kConfirm), "accuracy") -
                  value_of(results.at(job::Stage::kConfirm), "dense_accuracy"),
              1e-12);
}

TEST_F(LadderTest, ABudgetOfAllPagesIsDenseAttention) {
  const job::Job dense = dense_job();
  job::Job covering = policy_job("block_topk", {{"vortex_topk_val", 30}});
  covering.incumbent = run(dense).at(job::Stage::kRace).outcomes;
  const auto results = run(covering);
  expect_all_pass(results, 6);
  EXPECT_EQ(hashes_of(results.at(job::Stage::kRace).outcomes), hashes_of(covering.incumbent));
  EXPECT_EQ(value_of(results.at(job::Stage::kRace), "accuracy_difference"), 0.0);
  for (const char* name :
       {"mass_recall", "mass_recall_chosen", "index_recall", "index_recall_chosen", "next_token_agreement"}) {
    EXPECT_EQ(value_of(results.at(job::Stage::kRecall), name), 1.0) << name;
  }
  EXPECT_NEAR(value_of(results.at(job::Stage::kRecall), "kl"), 0.0, 1e-6);
}

TEST_F(LadderTest, AnyStageCanComeFirstAndGivesTheSame) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 3}});
  job.task.temperature = 0.8;
  job.task.trials = 2;
  const auto whole = run(job);
  expect_all_pass(whole, 6);
  job.stages = {job::Stage::kRace};
  job.batch = 3;  // another schedule, the same tokens
  job.prefix_folder.clear();
  const auto race = run(job);
  expect_all_pass(race, 1);
  EXPECT_EQ(hashes_of(race.at(job::Stage::kRace).outcomes), hashes_of(whole.at(job::Stage::kRace).outcomes));
  job.stages = {job::Stage::kConfirm};
  const auto confirm = run(job);
  expect_all_pass(confirm, 1);
  EXPECT_EQ(hashes_of(confirm.at(job::Stage::kConfirm).outcomes), hashes_of(whole.at(job::Stage::kConfirm).outcomes));
  // Sampling does differ from trial to trial.
  const std::vector<job::Outcome>& outcomes = race.at(job::Stage::kRace).outcomes;
  EXPECT_EQ(outcomes[0].problem, outcomes[1].problem);
  EXPECT_NE(outcomes[0].tokens_hash, outcomes[1].tokens_hash);
  // Two answers to each problem: the chance that one of them is right is a metric.
  int solved = 0;
  for (size_t i = 0; i < outcomes.size(); i += 2) { solved += outcomes[i].correct || outcomes[i + 1].correct ? 1 : 0; }
  EXPECT_EQ(value_of(race.at(job::Stage::kRace), "pass_at_2"), 2.0 * solved / static_cast<double>(outcomes.size()));
  EXPECT_NE(job::find_metric(confirm.at(job::Stage::kConfirm).metrics, "pass_at_2"), nullptr);
}

// The incumbent right everywhere, the tiny model nowhere: clear after the first round.
TEST_F(LadderTest, TheRaceEndsWhenTheOutcomeIsClear) {
  job::Job job = policy_job("block_topk", {{"vortex_topk_val", 3}});
  job.stages = {job::Stage::kRace, job::Stage::kSpeed};
  const auto problems = make_problems(job.task);
  ASSERT_TRUE(problems.ok());
  for (const Problem& problem : *problems) {
    job.incumbent.push_back({problem.id, 0, true, 45, problem.answers[0], "rule", std::string(64, '0')});
  }
  const auto pruned = run(job);
  ASSERT_EQ(pruned.size(), 1U) << "the climb ends";
  EXPECT_EQ(pruned.at(job::Stage::kRace).verdict, job::Verdict::kPruned);
  EXPECT_FALSE(pruned.at(job::Stage::kRace).blame.has_value());
  EXPECT_EQ(pruned.at(job::Stage::kRace).outcomes.size(), 8U);
  EXPECT_EQ(value_of(pruned.at(job::Stage::kRace), "accuracy_difference"), -1.0);
  job.race_margin = 1.0;
  const auto tolerated = run(job);
  expect_all_pass(tolerated, 2);
  EXPECT_EQ(tolerated.at(job::Stage::kRace).outcomes.size(), 12U);
  // Outcomes of other problems are no comparison.
  for (job::Outcome& outcome : job.incumbent) { outcome.problem += "-other"; }
  job.race_margin = 0.0;
  expect_all_pass(run(job), 2);
}

// The chain task as a gate. The tiny model knows nothing, so dense attention's outcomes are brought along.
TEST_F(LadderTest, TheGateEndsAClimbBelowTheBar) {
  job::Job job = policy_job("block_topk", {{"vortex_topk_val", 3}});
  job.stages = {job::Stage::kGate, job::Stage::kSpeed};
  job.gate = {job.task};
  job.gate[0].seed = 7;
  const auto hopeless = run(job);
  ASSERT_EQ(hopeless.size(), 1U);
  EXPECT_EQ(hopeless.at(job::Stage::kGate).blame, Blame::kCandidate) << "dense attention itself answers nothing";
  const auto problems = make_problems(job.gate[0]);
  ASSERT_TRUE(problems.ok());
  for (const Problem& problem : *problems) {
    job.incumbent.push_back({problem.id, 0, true, 45, problem.answers[0], "rule", std::string(64, '0')});
  }
  const auto pruned = run(job);
  ASSERT_EQ(pruned.size(), 1U);
  EXPECT_EQ(pruned.at(job::Stage::kGate).verdict, job::Verdict::kPruned);
  EXPECT_EQ(value_of(pruned.at(job::Stage::kGate), "gate_dense_accuracy"), 1.0);
  EXPECT_EQ(value_of(pruned.at(job::Stage::kGate), "gate_ratio"), 0.0);
  EXPECT_EQ(pruned.at(job::Stage::kGate).outcomes.size(), 12U);
  EXPECT_EQ(pruned.at(job::Stage::kGate).evidence.at("tasks").at(0).at("accuracy"), 0.0);
  job.gate_bar = 0.0;
  expect_all_pass(run(job), 2);
}

TEST_F(LadderTest, SpeedIsMeasuredOnTheTasksWorkload) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 3}});
  job.stages = {job::Stage::kRace, job::Stage::kSpeed};
  job.task.workload = job::WorkloadSpec{};
  job.task.workload->answers = "lognormal";
  job.task.workload->mean = 200;
  job.task.workload->longest = 600;
  job.task.workload->requests = 20;
  const auto results = run(job);
  expect_all_pass(results, 2);
  const job::StageResult& speed = results.at(job::Stage::kSpeed);
  EXPECT_EQ(speed.evidence.at("turns"), 5) << "no seconds: the fewest turns of a CPU, of one window each";
  EXPECT_EQ(speed.evidence.at("workload").at("answers"), "log-normal");
  EXPECT_EQ(speed.evidence.at("workload").at("requests"), 20);
  EXPECT_EQ(speed.evidence.at("workload").at("mean_prompt"), 304);
  EXPECT_GT(speed.evidence.at("workload").at("longest_answer").get<int>(), 200) << "longer than the task's answers";
  EXPECT_GT(speed.evidence.at("sparse_layer_calls").get<int>(), 0);
  // Prompts of 304 tokens are most of what is attended to, and at hand.
  EXPECT_GT(speed.evidence.at("kv_tokens_of_prompts").get<int>(), 0);
  EXPECT_LT(speed.evidence.at("kv_tokens_of_prompts").get<int>(), speed.evidence.at("kv_tokens").get<int>());
  const double ratio = value_of(speed, "speedup_vs_dense");
  EXPECT_NEAR(ratio, value_of(speed, "tokens_per_s") / value_of(speed, "dense_tokens_per_s"), 1e-6 * ratio);
  EXPECT_LT(value_of(speed, "end_to_end_tokens_per_s"), value_of(speed, "tokens_per_s")) << "prompts take time, too";
  EXPECT_LE(value_of(speed, "token_ms_p50"), value_of(speed, "token_ms_p95"));
  EXPECT_GT(value_of(speed, "mean_batch"), 1);
  EXPECT_LE(value_of(speed, "mean_batch"), 4);
  EXPECT_GT(value_of(speed, "percent_of_limit"), 0);
  // The race was planned by steps that were timed; speed by its seconds, of which there are none.
  EXPECT_EQ(planned_.at(job::Stage::kRace), 0) << "the first stage opens the session";
  EXPECT_EQ(planned_.at(job::Stage::kSpeed), 0);
}

TEST_F(LadderTest, AnswersOfAWorkloadAreAsLongAsDenseAttentionsWere) {
  job::Job dense = dense_job();
  dense.stages = {job::Stage::kCompile, job::Stage::kRace, job::Stage::kSpeed};
  dense.task.workload = job::WorkloadSpec{};
  const auto of_dense = run(dense);
  expect_all_pass(of_dense, 3);
  const nlohmann::json& workload = of_dense.at(job::Stage::kSpeed).evidence.at("workload");
  EXPECT_EQ(workload.at("answers"), "dense attention's in this search");
  EXPECT_GE(workload.at("requests").get<int>(), 12) << "at least as many answers as the task asks for";
  EXPECT_GT(planned_.at(job::Stage::kRace), 0);
  EXPECT_EQ(of_dense.at(job::Stage::kRace).evidence.at("planned_seconds"), planned_.at(job::Stage::kRace));
  EXPECT_FALSE(of_dense.at(job::Stage::kCompile).evidence.contains("planned_seconds"));
  EXPECT_EQ(value_of(of_dense.at(job::Stage::kSpeed), "speedup_vs_dense"), 1.0);

  job::Job policy = policy_job("quest", {{"vortex_topk_val", 3}});
  policy.task = dense.task;
  policy.stages = {job::Stage::kSpeed};
  for (int problem = 0; problem < 2; ++problem) {  // outcomes of two of the problems, 7 and 13 tokens long
    job::Outcome outcome = of_dense.at(job::Stage::kRace).outcomes[static_cast<size_t>(problem)];
    outcome.tokens = 7 + 6 * problem;
    policy.incumbent.push_back(outcome);
  }
  const auto with_lengths = run(policy).at(job::Stage::kSpeed).evidence.at("workload");
  EXPECT_EQ(with_lengths.at("longest_answer"), 13);
  EXPECT_EQ(with_lengths.at("mean_answer"), 10);
  policy.incumbent.clear();
  const auto without = run(policy).at(job::Stage::kSpeed).evidence.at("workload");
  EXPECT_EQ(without.at("answers"), "as long as they may be");
  EXPECT_EQ(without.at("mean_answer"), 20);
}

TEST_F(LadderTest, AWorkloadBeyondTheModelIsCutToIt) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 3}});
  job.stages = {job::Stage::kSpeed};
  job.task.workload = job::WorkloadSpec{"lognormal", 9, 0, 100000, 0.5, 200000, 1};
  const auto results = run(job);
  expect_all_pass(results, 1);
  const nlohmann::json& workload = results.at(job::Stage::kSpeed).evidence.at("workload");
  EXPECT_EQ(workload.at("cut_to_fit"), 9);
  EXPECT_LE(workload.at("longest_answer").get<int>() + 304, 8192);
}

// A prompt that leaves room for its answer and little more can be answered, and timed as far as it goes.
TEST_F(LadderTest, TimedWorkIsCutToTheModel) {
  constexpr int kPositions = 304 + 20;
  const fs::path file = folder_.path() / "config.json";
  nlohmann::json config = nlohmann::json::parse(*read_file(file));
  config["max_position_embeddings"] = kPositions;
  ASSERT_TRUE(write_file_atomic(file, config.dump()).ok());
  job::Job job = dense_job();
  job.speed_tokens = 48;
  job.stages = {job::Stage::kRace};
  EXPECT_EQ(run(job).at(job::Stage::kRace).verdict, job::Verdict::kPass);
  job.stages = {job::Stage::kSpeed};
  const auto results = run(job);
  expect_all_pass(results, 1);
  EXPECT_EQ(results.at(job::Stage::kSpeed).evidence.at("tokens_a_request"), 20);
}

TEST_F(LadderTest, SpeedEndsWhenItsIntervalIsNarrowEnough) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 3}});
  job.stages = {job::Stage::kSpeed};
  job.speed_seconds = 600;
  job.speed_precision = 1;
  EXPECT_EQ(run(job).at(job::Stage::kSpeed).evidence.at("pairs"), 6);
  job.task.workload = job::WorkloadSpec{};
  const auto on_workload = run(job).at(job::Stage::kSpeed);
  EXPECT_LT(on_workload.evidence.at("turns").get<int>(), 40);
  EXPECT_EQ(on_workload.evidence.at("ended"), "the interval is narrow enough");
  const job::Metric* ratio = job::find_metric(on_workload.metrics, "speedup_vs_dense");
  EXPECT_LE(ratio->hi - ratio->lo, 2 * ratio->value);
}

TEST_F(LadderTest, AChatTaskNeedsATemplate) {
  job::Job job = dense_job();
  job.stages = {job::Stage::kRace};
  job.task = {};
  job.task.kind = "questions";
  job.task.data = "mine";
  job.task.prompt = "{problem}";
  job.task.problems = 1;
  job.task.max_new_tokens = 4;
  job.task.questions = {{"1", "? v1 ?", "7"}};
  expect_all_pass(run(job), 1);
  job.task.chat = true;
  const auto refused = run(job);
  EXPECT_EQ(refused.at(job::Stage::kRace).blame, Blame::kCandidate);
  EXPECT_NE(refused.at(job::Stage::kRace).message.find("chat"), std::string::npos);
}

TEST_F(LadderTest, ABadPolicyIsTheCandidatesFault) {
  job::Job job = policy_job("quest", {});
  job.module_text = "import os\n";
  const auto results = run(job);
  ASSERT_EQ(results.size(), 1U);
  const job::StageResult& compile = results.at(job::Stage::kCompile);
  EXPECT_EQ(compile.verdict, job::Verdict::kFail);
  EXPECT_EQ(compile.blame, Blame::kCandidate);
  EXPECT_NE(compile.message.find("policy.py:1:"), std::string::npos) << compile.message;
}

TEST_F(LadderTest, ImpossibleJobsAreRefusedInTheirFirstStage) {
  job::Job no_model = dense_job();
  no_model.model_path = folder_.path() / "nowhere";
  job::Job no_task = dense_job();
  no_task.task.kind = "riddles";
  job::Job too_long = dense_job();
  too_long.task.max_new_tokens = 9000;
  job::Job no_memory = dense_job();
  no_memory.kv_memory_bytes = 1000;
  for (const job::Job& job : {no_model, no_task, too_long, no_memory}) {
    const auto results = run(job);
    ASSERT_EQ(results.size(), 1U);
    EXPECT_EQ(results.at(job::Stage::kCompile).verdict, job::Verdict::kFail);
    EXPECT_EQ(results.at(job::Stage::kCompile).blame, Blame::kCandidate) << results.at(job::Stage::kCompile).message;
    EXPECT_FALSE(results.at(job::Stage::kCompile).message.empty());
  }
}

TEST_F(LadderTest, DenseTracesAreKeptAndDamagedOnesMadeAnew) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 3}});
  job.stages = {job::Stage::kRecall};
  const auto first = run(job);
  std::vector<fs::path> traces;
  for (const auto& entry : fs::directory_iterator(job.prefix_folder)) {
    if (entry.path().filename().string().starts_with("trace-")) { traces.push_back(entry.path()); }
  }
  ASSERT_EQ(traces.size(), 2U + 12U) << "dense attention's own texts, and the right answers of all problems";
  const std::string kept = *read_file(traces[0]);
  for (const std::string& damage : {kept.substr(0, kept.size() / 2), std::string("{}"), std::string("[1]")}) {
    ASSERT_TRUE(write_file_atomic(traces[0], damage).ok());
    const auto again = run(job);
    expect_all_pass(again, 1);
    EXPECT_EQ(value_of(again.at(job::Stage::kRecall), "kl"), value_of(first.at(job::Stage::kRecall), "kl"));
    EXPECT_EQ(*read_file(traces[0]), kept);
  }
}

TEST_F(LadderTest, RightAnswersAreForcedAndTheOracleIsKept) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 2}});
  job.stages = {job::Stage::kRecall};
  job.recall_heads = true;
  const auto first = run(job);
  expect_all_pass(first, 1);
  const job::StageResult& recall = first.at(job::Stage::kRecall);
  EXPECT_LT(value_of(recall, "answer_log_likelihood"), 0.0);
  EXPECT_GT(value_of(recall, "answer_kl"), 0.0);
  EXPECT_LE(value_of(recall, "oracle_answer_kl"), value_of(recall, "answer_kl")) << "a random model's pages, but still";
  EXPECT_EQ(recall.evidence.at("answers").size(), 12U);
  EXPECT_EQ(recall.evidence.at("heads").at("like_oracle").size(), 3U) << "layers";
  std::vector<fs::path> oracles;
  for (const auto& entry : fs::directory_iterator(job.prefix_folder)) {
    if (entry.path().filename().string().starts_with("oracle-")) { oracles.push_back(entry.path()); }
  }
  ASSERT_EQ(oracles.size(), 1U);
  const std::string kept = *read_file(oracles[0]);
  ASSERT_TRUE(write_file_atomic(oracles[0], kept.substr(0, kept.size() / 2)).ok());
  const auto again = run(job);
  expect_all_pass(again, 1);
  EXPECT_EQ(*read_file(oracles[0]), kept) << "a damaged one is measured anew";
  EXPECT_EQ(value_of(again.at(job::Stage::kRecall), "oracle_answer_kl"), value_of(recall, "oracle_answer_kl"));
}

// Every stage, the forced right answers and the oracle among them, says on two ranks what it says on one, and no prompt
// is computed more than once: each is a wait of the ranks for each other in every layer.
TEST_F(LadderTest, RanksClimbAsOne) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 2}});
  const auto one = run(job);
  expect_all_pass(one, 6);
  job.tensor_parallel = 2;
  const auto two = run(job);
  expect_all_pass(two, 6);
  for (const char* name : {"kl", "mass_recall", "answer_log_likelihood", "oracle_answer_kl"}) {
    EXPECT_NEAR(value_of(two.at(job::Stage::kRecall), name), value_of(one.at(job::Stage::kRecall), name), 1e-3) << name;
  }
  EXPECT_EQ(hashes_of(two.at(job::Stage::kRace).outcomes), hashes_of(one.at(job::Stage::kRace).outcomes));
  for (const auto& [stage, result] : two) {
    EXPECT_EQ(result.evidence.at("tensor_parallel"), 2);
    const auto computed = result.evidence.find("prefill_tokens");
    if (computed != result.evidence.end()) { EXPECT_EQ(*computed, 0) << job::stage_name(stage); }
  }
  EXPECT_TRUE(fs::exists(job.prefix_folder + "/ranks-2")) << "what ranks keep is kept apart";
}

TEST_F(LadderTest, ABudgetOfAllPagesReachesTheCeilingWithoutKl) {
  job::Job job = policy_job("quest", {{"vortex_topk_val", 1000}});
  job.stages = {job::Stage::kRecall};
  const auto results = run(job);
  const job::StageResult& recall = results.at(job::Stage::kRecall);
  EXPECT_NEAR(value_of(recall, "answer_kl"), 0.0, 1e-6);
  EXPECT_NEAR(value_of(recall, "oracle_answer_kl"), 0.0, 1e-6);
  EXPECT_NEAR(value_of(recall, "answer_log_likelihood"), value_of(recall, "oracle_answer_log_likelihood"), 1e-4);
}

// On a GPU that others share nobody is timed beside somebody else.
TEST_F(LadderTest, WaitsForItsTurnToBeTimed) {
  const ProcessLock lock = ProcessLock::make().value();
  const Descriptor theirs = lock.open().value();
  const Descriptor other = lock.open().value();
  job::Job job = dense_job();
  job.stages = {job::Stage::kCompile, job::Stage::kValidate, job::Stage::kRace, job::Stage::kSpeed};
  job.device_sharers = 2;
  job.turn_descriptor = theirs.get();
  LockHolder holder(other.get());
  holder.take_together();
  std::promise<void> raced;
  std::atomic<bool> is_free = false;
  std::atomic<bool> was_free = false;
  job::StageResult speed;
  std::thread climber([&] {
    climb(job, {{}, [&](const job::StageResult& result) {
                  EXPECT_EQ(result.verdict, job::Verdict::kPass) << result.message;
                  if (result.stage == job::Stage::kRace) { raced.set_value(); }
                  if (result.stage == job::Stage::kSpeed) { was_free = is_free.load(); }
                  speed = result;
                }});
  });
  raced.get_future().wait();  // beside us
  is_free = true;
  holder.release();
  climber.join();
  EXPECT_TRUE(was_free);
  EXPECT_EQ(speed.stage, job::Stage::kSpeed);
  EXPECT_TRUE(speed.evidence.contains("waited_seconds"));
  holder.take_alone();  // the climb has left it
}

TEST(BuildId, NamesThisProgram) {
  EXPECT_EQ(build_id().size(), 40U) << build_id();
  EXPECT_EQ(build_id().find_first_not_of("0123456789abcdef"), std::string::npos);
}

// The shipped model solves short problems under dense attention, fewer with few pages.
TEST(ShippedModel, AccuracyDependsOnTheBudget) {
  job::Job job;
  job.id = "dense";
  job.dense = true;
  job.model_path = kSource + "/models/chain-4m";
  job.task.definitions = 96;
  job.task.chain = 10;
  job.task.problems = 8;
  job.task.max_new_tokens = 110;
  job.stages = {job::Stage::kRace};
  std::map<int, double> accuracy;
  const auto race = [&](int pages) {
    std::vector<job::Outcome> outcomes;
    climb(job, {{}, [&](const job::StageResult& result) {
                  accuracy[pages] = value_of(result, "accuracy");
                  outcomes = result.outcomes;
                }});
    return outcomes;
  };
  job.incumbent = race(1000);
  job.dense = false;
  job.module_text = *read_file(kSource + "/examples/policies/block_topk.py");
  nlohmann::json config = nlohmann::json::parse(*read_file(kSource + "/examples/policies/block_topk.json"));
  config["vortex_topk_val"] = 1;
  config["vortex_layers_skip"] = {0};
  job.config_text = config.dump();
  race(1);
  EXPECT_GE(accuracy[1000], 0.75);
  EXPECT_LE(accuracy[1], 0.25);
  // Its right answers, forced, say so without a race.
  job.stages = {job::Stage::kRecall, job::Stage::kRace};
  std::vector<job::StageResult> results;
  climb(job, {{}, [&](const job::StageResult& result) { results.push_back(result); }});
  ASSERT_EQ(results.size(), 1U) << "the climb ends";
  EXPECT_EQ(results[0].verdict, job::Verdict::kPruned);
  EXPECT_NE(results[0].message.find("forced right answers of all 8 problems"), std::string::npos);
  EXPECT_GT(value_of(results[0], "answer_kl"), 0.1);
  EXPECT_EQ(job::find_metric(results[0].metrics, "mass_recall"), nullptr) << "it was spared the rest";
}

}  // namespace
}  // namespace vortex::evals
