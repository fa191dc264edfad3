// The validate stage asks the engine for the kernels that it runs: a wrong one does not get past it.

#include <gtest/gtest.h>

#include "base/files.h"
#include "evals/ladder/session.h"
#include "evals/ladder/stages.h"
#include "tests/evals/ladder/wrapped_engine.h"

namespace vortex::evals {
namespace {

const std::string kSource = VORTEX_SOURCE_DIR;

job::Job job_of(const std::string& policy) {
  job::Job job;
  job.id = policy;
  job.device = "cpu";
  job.model_path = kSource + "/models/chain-4m";
  job.module_text = *read_file(kSource + "/examples/policies/" + policy + ".py");
  nlohmann::json config = nlohmann::json::parse(*read_file(kSource + "/examples/policies/" + policy + ".json"));
  config.merge_patch({{"vortex_topk_val", 3}, {"vortex_topk_ratio", 0}, {"vortex_layers_skip", {0}}});
  job.config_text = config.dump();
  job.task.definitions = 48;
  job.task.problems = 2;
  job.task.max_new_tokens = 4;
  return job;
}

std::unique_ptr<Session> session_of(const std::string& policy) {
  auto session = open_session(job_of(policy));
  EXPECT_TRUE(session.ok()) << session.error().message;
  return session.ok() ? std::move(*session) : nullptr;
}

TEST(Validate, ComparesWhatTheEngineRunsWithTheOracle) {
  const auto session = session_of("block_topk");
  ASSERT_NE(session, nullptr);
  const auto right = run_validate(*session);
  ASSERT_TRUE(right.ok()) << right.error().message;
  EXPECT_EQ(right->verdict, job::Verdict::kPass);
  EXPECT_NE(right->evidence.at("oracle").get<std::string>().find("scores compared"), std::string::npos);
}

// Lists with a k of their own choose more pages than the budget says, and some of them twice.
TEST(Validate, AUnionOfListsAttendsWhatTheyChoose) {
  job::Job job = job_of("block_topk");
  const auto change = [&](const std::string& from, const std::string& to) {
    const size_t at = job.module_text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    job.module_text.replace(at, from.size(), to);
  };
  change("import GeMM, Mean, topK", "import GeMM, Max, Mean, TopK, Union");
  change("self.select = topK()",
         "self.first = TopK(k=5)\n        self.other_mean = Max(dim=1)\n        self.other_score = GeMM()\n"
         "        self.second = TopK(k=4)\n        self.union = Union()");
  change("self.select(score, o, ctx=ctx)",
         "other = self.other_score(self.other_mean(q, ctx=ctx), cache[\"centroid\"], ctx=ctx)\n"
         "        self.union(self.first(score, ctx=ctx), self.second(other, ctx=ctx), o, ctx=ctx)");
  nlohmann::json config = nlohmann::json::parse(job.config_text);
  config["vortex_attention_backend"] = "trtllm";  // without it upstream takes no union
  for (const double ratio : {0.0, 0.5}) {         // a budget above what the lists choose says only which rows are dense
    config["vortex_topk_ratio"] = ratio;
    job.config_text = config.dump();
    auto session = open_session(job);
    ASSERT_TRUE(session.ok()) << session.error().message;
    const auto right = run_validate(**session);
    ASSERT_TRUE(right.ok()) << right.error().message << " with ratio " << ratio;
    EXPECT_EQ(right->verdict, job::Verdict::kPass);
  }
}

TEST(Validate, AWrongScoringKernelFails) {
  for (const MiscompilingEngine::Change change : {score_by_maximum, choose_one_more, choose_one_less}) {
    const auto session = session_of("block_topk");
    ASSERT_NE(session, nullptr);
    session->engine = std::make_unique<MiscompilingEngine>(std::move(session->engine), change);
    ASSERT_TRUE(session->engine->set_policy(session->policy).ok());
    const auto wrong = run_validate(*session);
    ASSERT_FALSE(wrong.ok()) << "a wrong kernel passed";
    EXPECT_EQ(wrong.error().blame, Blame::kInternal);
    EXPECT_NE(wrong.error().message.find("the oracle disagrees"), std::string::npos) << wrong.error().message;
    EXPECT_NE(wrong.error().message.find("the policy on cpu"), std::string::npos) << wrong.error().message;
  }
}

TEST(Validate, StepsThatAreAnotherPolicysFail) {
  const auto session = session_of("block_topk");
  ASSERT_NE(session, nullptr);
  session->engine = std::make_unique<StaleEngine>(std::move(session->engine));
  const auto stale = run_validate(*session);
  ASSERT_FALSE(stale.ok()) << "a policy that was never replaced passed";
  EXPECT_EQ(stale.error().message, "a budget that covers all pages left some of them out");
}

TEST(Validate, StepsThatLeaveOutAPageFail) {
  const auto session = session_of("block_topk");
  ASSERT_NE(session, nullptr);
  auto right = session->engine->executable();
  session->engine = std::make_unique<DroppingEngine>(std::move(session->engine), std::move(right));
  ASSERT_TRUE(session->engine->set_policy(session->policy).ok());
  const auto refused = run_validate(*session);
  ASSERT_FALSE(refused.ok()) << "a step that reads one page too few passed";
  EXPECT_NE(refused.error().message.find("pages where its budget grants"), std::string::npos)
      << refused.error().message;
}

TEST(Validate, TheEvidenceNamesTheKernelsThatRun) {
  const auto session = session_of("quest");
  ASSERT_NE(session, nullptr);
  const auto compiled = run_compile(*session);
  ASSERT_TRUE(compiled.ok());
  const nlohmann::json& kernels = compiled->evidence.at("kernels");
  ASSERT_EQ(kernels.size(), 1U);
  EXPECT_EQ(kernels[0].at("name").get<std::string>().rfind("stages on ", 0), 0U);
  EXPECT_EQ(kernels[0].at("source_hash").get<std::string>().size(), 64U);
  EXPECT_FALSE(compiled->evidence.at("stages").empty());
  ASSERT_TRUE(session->engine->set_policy(std::nullopt).ok());
  const auto dense = run_compile(*session);
  ASSERT_TRUE(dense.ok());
  EXPECT_TRUE(dense->evidence.at("kernels").empty());
  EXPECT_TRUE(dense->evidence.at("stages").empty());
}

}  // namespace
}  // namespace vortex::evals
