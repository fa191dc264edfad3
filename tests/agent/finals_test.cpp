#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/loop/search.h"
#include "db/store.h"
#include "study/front.h"
#include "study/held_out.h"
#include "study/history.h"
#include "study/standing.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {
namespace {

class FinalsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "vortex-finals-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // What a search came to, in a workspace of its own.
  study::History search() {
    auto store = db::Store::open(folder_ / std::to_string(searches_++)).value();
    db::Run run;
    run.name = "test";
    run.config = to_json(options_).dump();
    EXPECT_TRUE(store->add_run(run).ok());
    run = *store->find_run("test").value();
    EXPECT_EQ(run_search(*store, run, options_, test_model(), test_hooks(workers_, &now_)).value(), SearchEnd::kBudget);
    return study::read_history(*store, run).value();
  }

  std::filesystem::path folder_;
  int searches_ = 0;
  SyntheticWorkers workers_;
  std::atomic<double> now_ = 1000;
  study::SearchOptions options_ = test_options();
};

TEST_F(FinalsTest, AFinalistThatCrashesOnHeldOutProblemsLeavesTheFront) {
  workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
    if (job.dense || job.stages.front() != job::Stage::kConfirm) { return std::nullopt; }
    job::StageResult result;
    result.stage = job::Stage::kConfirm;
    result.verdict = job::Verdict::kFail;
    result.blame = Blame::kCandidate;
    result.message = "the policy ran out of memory";
    return result;
  };
  const study::History history = search();
  const study::Standing standing = study::standing_of(history, options_);
  int crashed = 0;
  for (const study::CandidateHistory& candidate : history.candidates) {
    if (study::is_dense(candidate.row) || study::last_stage(candidate, job::Stage::kConfirm) == nullptr) { continue; }
    ++crashed;
    EXPECT_FALSE(standing.archive().on_front(candidate.row.id));
    EXPECT_EQ(candidate.row.verdict, job::Verdict::kFail);
  }
  EXPECT_GT(crashed, 0);
  EXPECT_TRUE(study::claims_of(history, options_, standing).empty() ||
              study::headline_of(study::claims_of(history, options_, standing)) == nullptr);
}

// All answer alike on the problems of the search, so the fastest is asked, and then the next fastest.
TEST_F(FinalsTest, WhereTheFirstFinalistIsNotKeptOneMoreIsAsked) {
  std::string bad;
  workers_.truth = [&](const job::Job& job) {
    const bool is_bad = job.stages.front() == job::Stage::kConfirm && job.module_text + job.config_text == bad;
    return job.dense ? 1.0 : is_bad ? 0.3 : 0.98;
  };
  for (const int overlap : {0, 2}) {
    options_.overlap = overlap;
    workers_.fault = nullptr;
    bad.clear();
    const study::History before = search();
    const std::vector<study::Claim> kept = study::claims_of(before, options_, study::standing_of(before, options_));
    ASSERT_EQ(kept.size(), 1u);
    EXPECT_TRUE(kept[0].kept);

    workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
      const bool asked = !job.dense && job.stages.front() == job::Stage::kConfirm;
      if (asked && bad.empty()) { bad = job.module_text + job.config_text; }
      return std::nullopt;
    };
    const study::History after = search();
    const std::vector<study::Claim> claims = study::claims_of(after, options_, study::standing_of(after, options_));
    ASSERT_EQ(claims.size(), 2u);
    EXPECT_EQ(claims[0].candidate, kept[0].candidate);
    EXPECT_EQ(claims[0].keeping, evals::Keeping::kLost);
    EXPECT_TRUE(claims[1].kept);
  }
}

// Four budgets, each faster and a little worse than the one before, all within the margin.
TEST_F(FinalsTest, MembersOfTheFrontAreAskedAfterThoseThatPromiseMost) {
  workers_.truth = [](const job::Job& job) {
    if (job.dense) { return 1.0; }
    const int pages = nlohmann::json::parse(job.config_text).value("vortex_topk_val", 1);
    return pages >= 32 ? 1.0 : pages >= 16 ? 0.98 : pages >= 8 ? 0.95 : pages >= 4 ? 0.91 : 0.3;
  };
  workers_.problems = 512;
  options_.job.task.problems = 512;
  options_.max_evals = 80;
  const study::History history = search();
  const study::Standing standing = study::standing_of(history, options_);
  const std::vector<study::Claim> claims = study::claims_of(history, options_, standing);
  EXPECT_GT(claims.size(), study::SequenceRules().most) << "a sequence alone has fewer";
  std::set<int64_t> kept;
  for (const study::Claim& claim : claims) {
    if (claim.kept) { kept.insert(claim.candidate); }
  }
  for (const study::Point& member : standing.front()) {
    EXPECT_TRUE(member.reference || kept.contains(member.candidate)) << member.candidate;
  }
}

// The fastest budget loses more than the margin: no claim is to be expected of it.
TEST_F(FinalsTest, WithAClockMembersThatPromiseNothingAreAskedAsWell) {
  workers_.truth = [](const job::Job& job) {
    if (job.dense) { return 1.0; }
    const int pages = nlohmann::json::parse(job.config_text).value("vortex_topk_val", 1);
    return pages >= 16 ? 0.98 : pages >= 4 ? 0.8 : 0.3;
  };
  workers_.problems = 512;
  options_.job.task.problems = 512;
  options_.max_evals = 30;
  for (const double seconds : {0.0, 1e6}) {
    options_.seconds = seconds;
    const study::History history = search();
    const study::Standing standing = study::standing_of(history, options_);
    int without_promise = 0;
    for (const study::FrontRow& row : study::front_rows(history, options_, standing)) {
      if (row.is_dense() || row.undecided || row.accuracy.value > 0.88) { continue; }
      ++without_promise;
      EXPECT_EQ(row.claim.has_value(), seconds > 0);
      if (row.claim) { EXPECT_NE(row.claim->keeping, evals::Keeping::kKept); }
    }
    EXPECT_GT(without_promise, 0);
    for (const study::Claim& claim : study::claims_of(history, options_, standing)) { EXPECT_TRUE(claim.kept); }
  }
}

// The places of those that were asked are in their rows, whoever was stored first.
TEST_F(FinalsTest, ClaimsAreJudgedInTheOrderOfThePlan) {
  workers_.truth = [](const job::Job& job) { return job.dense ? 1.0 : 0.98; };
  study::History history = search();
  std::vector<study::CandidateHistory*> asked;
  for (study::CandidateHistory& candidate : history.candidates) {
    if (study::is_dense(candidate.row) || study::last_stage(candidate, job::Stage::kConfirm) == nullptr) { continue; }
    EXPECT_EQ(study::asked_at(candidate).value().place, static_cast<int>(asked.size()) + 1);
    asked.push_back(&candidate);
  }
  ASSERT_EQ(asked.size(), 1u);
  for (db::StageRow& row : asked[0]->stages) { row.metrics = "[]"; }
  EXPECT_EQ(study::asked_at(*asked[0]).value().place, 0) << "a search of before";
}

}  // namespace
}  // namespace vortex::agent
