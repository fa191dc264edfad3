#include "agent/session/budget.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace vortex::agent {
namespace {

class BudgetTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "vortex-budget-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    reopen();
    db::Run run;
    run.name = "test";
    run.config = "{}";
    ASSERT_TRUE(store_->add_run(run).ok());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void reopen() {
    store_.reset();
    store_ = std::move(db::Store::open(folder_)).value();
  }

  // A new session: what an earlier one did not write is forgotten.
  std::unique_ptr<Budget> sit(study::Limits limits, int gpus = 0) {
    const db::Run run = *store_->find_run("test").value();
    auto budget = std::make_unique<Budget>(*store_, run, std::move(limits), gpus, [this] { return now_; });
    EXPECT_TRUE(budget->load().ok());
    return budget;
  }

  std::vector<int> notices(std::string_view resource) {
    std::vector<int> percents;
    const std::vector<db::Event> events = store_->events(1).value();
    for (const db::Event& event : events) {
      const auto detail = nlohmann::json::parse(event.detail);
      if (event.kind == "budget" && detail["resource"] == resource) { percents.push_back(detail["percent"]); }
    }
    return percents;
  }

  std::filesystem::path folder_;
  std::unique_ptr<db::Store> store_;
  double now_ = 500;
};

TEST_F(BudgetTest, WhatWasSpentSurvivesASitting) {
  {
    auto budget =
        sit({{study::Resource::kSeconds, 100}, {study::Resource::kTokens, 1000}, {study::Resource::kDollars, 2}});
    now_ += 30;
    ASSERT_TRUE(budget->heartbeat(0).ok());
    budget->book(study::Resource::kTokens, 600);
    budget->book(study::Resource::kDollars, 1.5);
  }
  reopen();
  now_ = 3;  // another boot: the clock starts anew
  auto budget =
      sit({{study::Resource::kSeconds, 100}, {study::Resource::kTokens, 1000}, {study::Resource::kDollars, 2}});
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kSeconds), 30);
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kTokens), 600);
  EXPECT_TRUE(budget->may_spend(study::Resource::kTokens, 400));
  EXPECT_FALSE(budget->may_spend(study::Resource::kTokens, 401));
  EXPECT_TRUE(budget->may_spend(study::Resource::kDollars, 0.5));
  EXPECT_FALSE(budget->may_spend(study::Resource::kDollars, 0.51));
  EXPECT_TRUE(budget->may_spend(study::Resource::kEvaluations, 1e9));  // no limit
}

TEST_F(BudgetTest, AStepBackOfTheClockIsNoTime) {
  auto budget = sit({{study::Resource::kSeconds, 100}});
  now_ += 10;
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kSeconds), 10);
  now_ -= 400;
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kSeconds), 10);
  now_ += 5;
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kSeconds), 15);
}

TEST_F(BudgetTest, ACallInFlightIsSpentUntilItIsSettled) {
  auto budget = sit({{study::Resource::kTokens, 1000}, {study::Resource::kDollars, 1}});
  const auto first = budget->hold(700, 0.2);
  ASSERT_TRUE(first.ok() && first->has_value());
  EXPECT_FALSE(budget->hold(400, 0.1)->has_value());
  EXPECT_FALSE(budget->hold(100, 0.9)->has_value());
  ASSERT_TRUE(budget->settle(**first, 150, 0.05).ok());
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kTokens), 150);
  EXPECT_FALSE(budget->settle(**first, 150, 0.05).ok());  // once
  ASSERT_TRUE(budget->hold(800, 0.5)->has_value());
  // Cut off in the middle of the second call: it counts in full.
  reopen();
  auto resumed = sit({{study::Resource::kTokens, 1000}, {study::Resource::kDollars, 1}});
  EXPECT_DOUBLE_EQ(resumed->used(study::Resource::kTokens), 950);
  EXPECT_DOUBLE_EQ(resumed->used(study::Resource::kDollars), 0.55);
}

TEST_F(BudgetTest, WorkInFlightIsCountedBeforeMoreIsStarted) {
  auto budget = sit({{study::Resource::kSeconds, 1000}, {study::Resource::kGpuSeconds, 100}}, 2);
  ASSERT_TRUE(budget->start_work(1, 30));   // 60 GPU seconds
  EXPECT_FALSE(budget->start_work(2, 21));  // 42 more
  EXPECT_TRUE(budget->start_work(3, 20));
  now_ += 10;
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kGpuSeconds), 40);
  EXPECT_TRUE(budget->work_fits(1, 20));   // what it was expected to take
  EXPECT_FALSE(budget->work_fits(1, 21));  // 2 GPU seconds more than there are
  budget->end_work(3);
  EXPECT_TRUE(budget->work_fits(1, 21));
  budget->end_work(1);
  now_ += 500;
  EXPECT_DOUBLE_EQ(budget->used(study::Resource::kGpuSeconds), 40);  // nobody holds a GPU
  EXPECT_FALSE(budget->start_work(4, 600));                          // the wall clock would end first
}

TEST_F(BudgetTest, WorkThatWaitsForAWorkerHoldsNoGpu) {
  double lent = 0;
  {
    auto budget = sit({{study::Resource::kGpuSeconds, 100}}, 2);
    budget->lent_seconds = [&] { return lent; };
    ASSERT_TRUE(budget->start_work(1, 20));
    ASSERT_TRUE(budget->start_work(2, 20));
    now_ += 300;  // neither has a worker
    EXPECT_DOUBLE_EQ(budget->used(study::Resource::kGpuSeconds), 0);
    EXPECT_FALSE(budget->expired());
    now_ += 10;
    lent = 15;  // both have, one since half of that time
    EXPECT_DOUBLE_EQ(budget->used(study::Resource::kGpuSeconds), 30);
    budget->end_work(1);
    budget->end_work(2);
    now_ += 5;
    ASSERT_TRUE(budget->heartbeat(0).ok());
  }
  EXPECT_DOUBLE_EQ(sit({}, 2)->used(study::Resource::kGpuSeconds), 30);
  auto budget = sit({{study::Resource::kGpuSeconds, 100}}, 2);
  budget->lent_seconds = [] { return 35.0; };  // of a new session
  EXPECT_TRUE(budget->expired());
}

TEST_F(BudgetTest, NoticesAreGivenOnceARunAndAnewForARaisedLimit) {
  std::vector<int> told;
  {
    auto budget = sit({{study::Resource::kSeconds, 100}});
    budget->on_notice = [&](study::Resource, int percent) { told.push_back(percent); };
    now_ += 85;
    ASSERT_TRUE(budget->heartbeat(1).ok());
    ASSERT_TRUE(budget->heartbeat(1).ok());
    EXPECT_EQ(told, (std::vector{50, 80}));
  }
  auto budget = sit({{study::Resource::kSeconds, 100}});
  now_ += 20;
  EXPECT_TRUE(budget->expired());
  ASSERT_TRUE(budget->heartbeat(1).ok());
  EXPECT_EQ(notices("seconds"), (std::vector{50, 80, 100}));
  auto raised = sit({{study::Resource::kSeconds, 150}});
  EXPECT_FALSE(raised->expired());
  ASSERT_TRUE(raised->heartbeat(1).ok());
  EXPECT_EQ(notices("seconds"), (std::vector{50, 80, 100, 50}));
}

}  // namespace
}  // namespace vortex::agent
