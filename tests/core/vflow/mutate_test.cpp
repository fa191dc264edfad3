#include "core/vflow/vary/mutate.h"

#include <gtest/gtest.h>

#include <set>

#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/vary/config_moves.h"
#include "core/vflow/vary/generate.h"
#include "core/vflow/vary/program_moves.h"
#include "tests/core/vflow/samples.h"

namespace vortex::vflow {
namespace {

void expect_good(const Policy& policy, const ModelGeometry& model) {
  const PolicySource source = print_policy(policy);
  const CheckReport report = check_policy(source, model);
  ASSERT_TRUE(report.policy.has_value()) << render(report.diagnostics) << source.module_text << source.config_text;
  ASSERT_EQ(policy_key(*report.policy), policy_key(policy)) << source.module_text;
}

// A walk of mutations and crossovers that starts over now and then, as a search does.
void walk(const ModelGeometry& model, Dialect dialect, uint64_t seed, int length) {
  Rng rng(seed);
  Policy current = plain_policy(model, dialect);
  Policy mate = current;
  std::set<std::string> keys;
  for (int i = 0; i < length; ++i) {
    const Variation next = i % 5 == 4 ? crossover(current, mate, rng, model) : mutate(current, rng, model);
    SCOPED_TRACE(next.description);
    EXPECT_FALSE(next.description.empty());
    EXPECT_NE(policy_key(next.policy), policy_key(current));
    expect_good(next.policy, model);
    if (::testing::Test::HasFatalFailure()) { return; }
    keys.insert(policy_key(next.policy));
    mate = current;
    current = next.policy;
    if (i % 20 == 19) {
      GenerateOptions options;
      options.mla = dialect == Dialect::kMla;
      current = i % 40 == 19 ? plain_policy(model, dialect) : random_policy(rng, model, options);
    }
  }
  EXPECT_GT(keys.size(), static_cast<size_t>(length) * 3 / 5);
}

// Every child of every move checks, the budget included.
void walk_within(const ModelGeometry& model, Policy current) {
  Rng rng(3);
  for (int i = 0; i < 200; ++i) {
    const Variation next = i % 3 == 0 ? resize(current, true, rng, model) : mutate(current, rng, model);
    SCOPED_TRACE(next.description);
    ASSERT_TRUE(next.report.policy.has_value()) << render(next.report.diagnostics);
    expect_good(next.policy, model);
    current = next.policy;
  }
}

TEST(MutateProperty, ChainsAlwaysCheckAndRoundTrip) {
  walk(small_model(), Dialect::kGqa, 1, property_rounds(1000, 5000));
  walk(small_mla_model(), Dialect::kMla, 2, property_rounds(300, 1500));
}

TEST(Mutate, ModelWithOneLayerAndOneHead) {
  ModelGeometry tiny;
  tiny.head_dim = 16;
  tiny.max_context = 64;
  walk(tiny, Dialect::kGqa, 3, 100);
}

TEST(Mutate, EveryMoveFindsAPlace) {
  for (const ProgramMove& move : program_moves()) {
    int applied = 0;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      Rng rng(seed);
      Program program = sample(score_families()[seed % score_families().size()].name, seed);
      if (!move.apply(program, rng)) { continue; }
      applied += finish_program(program, program.geometry).ok();
    }
    EXPECT_GE(applied, 10) << move.name;
  }
}

TEST(Mutate, ResizeScalesTheBudget) {
  Policy parent = plain_policy(small_model(), Dialect::kGqa);
  parent.config.topk_val = 8;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    const Variation more = resize(parent, true, rng, small_model());
    expect_good(more.policy, small_model());
    EXPECT_GE(more.policy.config.topk_val, 12) << more.description;
    const Variation fewer = resize(parent, false, rng, small_model());
    expect_good(fewer.policy, small_model());
    EXPECT_LE(fewer.policy.config.topk_val, 5) << fewer.description;
  }
  parent.config.topk_val = 1;
  Rng rng(1);
  EXPECT_NE(policy_key(resize(parent, false, rng, small_model()).policy), policy_key(parent))
      << "something else changes";
}

TEST(Mutate, ChildrenStayWithinTheTokenBudget) {
  ModelGeometry model = small_model();
  model.token_budget = 96;
  const Variation cut = within_token_budget(plain_policy(small_model(), Dialect::kGqa), model);
  ASSERT_TRUE(cut.report.policy.has_value()) << cut.description;
  EXPECT_EQ(cut.policy.config.topk_val, 96 / cut.policy.config.block_size);
  walk_within(model, cut.policy);
}

TEST(Mutate, SameSeedSameChild) {
  const Policy parent = plain_policy(small_model(), Dialect::kGqa);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng a(seed);
    Rng b(seed);
    const Variation first = mutate(parent, a, small_model());
    const Variation second = mutate(parent, b, small_model());
    EXPECT_EQ(first.description, second.description);
    EXPECT_EQ(policy_key(first.policy), policy_key(second.policy));
  }
}

TEST(Mutate, BlockSizeCarriesShapesAlong) {
  const Program program = sample("sub-block centroid", 2);
  const Geometry wide = geometry_for(small_model(), Dialect::kGqa, 32);
  const Result<Program> traced = retraced(program, wide);
  ASSERT_TRUE(traced.ok()) << traced.error().message;
  EXPECT_EQ(traced->fields[0].shape.rows, 2 * program.fields[0].shape.rows);
}

TEST(Mutate, ScoresThatGrewAreReducedByMax) {
  Program program = sample("centroid");
  for (size_t i = 0; i < program.indexer.nodes.size(); ++i) {
    if (program.indexer.nodes[i].op == Op::kMean) { bypass(program.indexer, static_cast<int>(i), 0); }
  }
  const Result<Program> finished = finish_program(program, program.geometry);
  ASSERT_TRUE(finished.ok());
  EXPECT_EQ(canonical_text(*finished), canonical_text(sample("head-max centroid")));
}

TEST(Crossover, JoinsProgramsOfBothParents) {
  const Policy a = {sample("centroid"), plain_policy(small_model(), Dialect::kGqa).config};
  const Policy b = {sample("Quest"), a.config};
  bool blended = false;
  for (uint64_t seed = 0; seed < 40 && !blended; ++seed) {
    Rng rng(seed);
    const Variation child = crossover(a, b, rng, small_model());
    expect_good(child.policy, small_model());
    const std::string text = canonical_text(child.policy.program);
    blended = text.find("(Mean dim=1 k)") != std::string::npos && text.find("(Min dim=1 k)") != std::string::npos;
  }
  EXPECT_TRUE(blended);
}

TEST(Crossover, ParentsOfDifferentBlockSizes) {
  Policy a = plain_policy(small_model(), Dialect::kGqa);
  Policy b = {sample("sub-block Quest", 4, 32), a.config};
  b.config.block_size = 32;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Rng rng(seed);
    const Variation child = crossover(a, b, rng, small_model());
    EXPECT_EQ(child.policy.program.geometry.block_size, 16);
    expect_good(child.policy, small_model());
  }
}

}  // namespace
}  // namespace vortex::vflow
