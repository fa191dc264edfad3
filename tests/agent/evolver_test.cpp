#include "agent/propose/evolver.h"

#include <gtest/gtest.h>

#include <set>

#include "core/vflow/diagnostics.h"
#include "core/vflow/graph/canonical.h"
#include "core/vflow/vary/config_moves.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {
namespace {

// What the evolver makes of one parent, over many places.
class EvolverTest : public ::testing::Test {
 protected:
  EvolverTest() {
    context_.model = test_model();
    parent_.candidate = 7;
    vflow::Policy policy = vflow::plain_policy(context_.model, vflow::Dialect::kGqa);
    policy.config.topk_val = 8;
    parent_.policy = std::make_shared<const vflow::Policy>(std::move(policy));
    parent_.weight = 1;
    context_.seeds = &seeds_;
  }

  // How many of 200 children are the parent with another number of pages: more, fewer.
  std::pair<int, int> resized(double promise) {
    parent_.promise = promise;
    const std::vector<Parent> parents = {parent_};
    context_.front = context_.passed = &parents;
    int more = 0;
    int fewer = 0;
    for (context_.batch = 1; context_.batch <= 200; ++context_.batch) {
      const auto proposal = evolver_->propose(context_);
      const vflow::CheckReport report = vflow::check_policy((**proposal).source, context_.model);
      if (!report.policy ||
          vflow::program_hash(report.policy->program) != vflow::program_hash(parent_.policy->program)) {
        continue;
      }
      more += report.policy->config.topk_val >= 12 ? 1 : 0;
      fewer += report.policy->config.topk_val <= 5 ? 1 : 0;
    }
    return {more, fewer};
  }

  Parent parent_;
  std::vector<Seed> seeds_;
  ProposalContext context_;
  std::unique_ptr<Proposer> evolver_ = make_evolver();
};

TEST_F(EvolverTest, WalksTowardsThePagesThatRightAnswersNeed) {
  const auto [plain_more, plain_fewer] = resized(0);
  const auto [sure_more, sure_fewer] = resized(0.95);
  const auto [lost_more, lost_fewer] = resized(0.3);
  EXPECT_GT(sure_fewer, plain_fewer + 25) << "keeps its answers: fewer";
  EXPECT_LT(sure_more, plain_more + 10);
  EXPECT_GT(lost_more, plain_more + 25) << "loses them: more";
  EXPECT_LT(lost_fewer, plain_fewer + 10);
}

// Nobody checks a child again: what comes with it must be what checking its source gives.
TEST_F(EvolverTest, BringsWhatTheCheckSaysOfEachChild) {
  Parent other = parent_;
  other.candidate = 8;
  vflow::Policy policy = *parent_.policy;
  policy.config.topk_val = 21;
  other.policy = std::make_shared<const vflow::Policy>(std::move(policy));
  other.promise = 0.9;
  const std::vector<Parent> parents = {parent_, other};
  context_.front = context_.passed = &parents;
  std::set<db::Origin> origins;
  for (context_.batch = 1; context_.batch <= 60; ++context_.batch) {
    context_.draw = context_.batch % 5;
    const auto made = evolver_->propose(context_);
    const Proposal& proposal = **made;
    origins.insert(proposal.origin);
    ASSERT_TRUE(proposal.report && proposal.report->policy) << proposal.operation;
    const vflow::CheckReport anew = vflow::check_policy(proposal.source, context_.model);
    ASSERT_TRUE(anew.policy);
    EXPECT_EQ(vflow::policy_key(*proposal.report->policy), vflow::policy_key(*anew.policy));
    EXPECT_EQ(vflow::print_policy(*proposal.report->policy).module_text, vflow::print_policy(*anew.policy).module_text);
    EXPECT_EQ(vflow::render(proposal.report->diagnostics), vflow::render(anew.diagnostics));
  }
  EXPECT_EQ(origins, (std::set{db::Origin::kMutate, db::Origin::kCrossover, db::Origin::kRandom}));
}

}  // namespace
}  // namespace vortex::agent
