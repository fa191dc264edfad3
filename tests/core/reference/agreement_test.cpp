#include "core/compile/reference/agreement.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <set>

#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/random_batch.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/vary/families.h"
#include "core/vflow/vary/generate.h"

namespace vortex::compile {
namespace {

using vflow::Op;

vflow::ModelGeometry small_model(int group, int head_dim) {
  vflow::ModelGeometry model;
  model.layers = 2;
  model.num_kv_heads = 2;
  model.num_q_heads = 2 * group;
  model.head_dim = head_dim;
  return model;
}

vflow::Policy small_policy(vflow::Program program, int topk = 6) {
  vflow::Policy policy;
  policy.program = std::move(program);
  policy.config.block_size = policy.program.geometry.block_size;
  policy.config.topk_val = topk;
  policy.config.reserved_bos = 1;
  policy.config.reserved_eos = 2;
  policy.config.disable_radix_cache = true;
  return policy;
}

// Compares and expects that something was compared.
AgreementReport expect_agreement(const vflow::Policy& policy, uint64_t seed, const AgreementOptions& options = {}) {
  const auto executable = compile_cpu(policy);
  EXPECT_TRUE(executable.ok()) << executable.error().message;
  const auto report = compare_with_oracle(policy, **executable, seed, options);
  EXPECT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(report->agrees()) << describe(*report) << "\n" << (*executable)->describe();
  EXPECT_GT(report->rows_scored, 0);
  return *report;
}

TEST(Agreement, EveryFamilyOfScoresOverManyShapes) {
  Rng rng(11);
  for (const vflow::Family& family : vflow::score_families()) {
    for (const auto [group, head_dim, block] : {std::array{1, 16, 8}, std::array{2, 24, 16}, std::array{5, 64, 16}}) {
      const vflow::Geometry geometry{group, head_dim, block, 0};
      const auto program = vflow::family_program(family, vflow::Dialect::kGqa, geometry, rng);
      if (!program.ok()) {
        continue;  // the family does not fit this shape
      }
      SCOPED_TRACE(std::string(family.name) + " D " + std::to_string(head_dim));
      const AgreementReport report = expect_agreement(small_policy(*program), rng.next());
      EXPECT_GT(report.scores_compared, report.scores_unbounded);
    }
  }
}

// vortex_torch's planner takes 0, too.
TEST(Agreement, NoPageIsReservedAtTheStart) {
  Rng rng(5);
  for (const vflow::Family& family : vflow::score_families()) {
    const auto program = vflow::family_program(family, vflow::Dialect::kGqa, {2, 24, 16, 0}, rng);
    if (!program.ok()) { continue; }
    SCOPED_TRACE(family.name);
    vflow::Policy policy = small_policy(*program);
    policy.config.reserved_bos = 0;
    expect_agreement(policy, rng.next());
  }
}

int random_policies() { return std::getenv("VORTEX_LONG") != nullptr ? 10000 : 500; }

AgreementOptions random_options() {
  AgreementOptions options;
  options.requests = 3;
  options.cases = 2;
  options.most_blocks = 600;
  return options;
}

// Latents as narrow as a test's and nearly as wide as a model's, 1 to 20 heads.
TEST(Agreement, RandomPoliciesOnALatentChooseTheOraclesPages) {
  const int programs = random_policies() / 2;
  AgreementReport total;
  for (int i = 0; i < programs; ++i) {
    Rng rng(stream_key(22, static_cast<uint64_t>(i)));
    vflow::GenerateOptions generate;
    generate.mla = true;
    vflow::ModelGeometry model;
    model.layers = 2;
    model.num_q_heads = std::array{1, 4, 5, 20}[rng.below(4)];
    model.kv_lora_rank = std::array{16, 24, 64, 128}[rng.below(4)];
    model.rope_dim = 4 << rng.below(4);
    vflow::Policy policy = vflow::random_policy(rng, model, generate);
    policy.config.topk_val = std::min(policy.config.topk_val, 12);
    const auto executable = compile_cpu(policy);
    if (!executable.ok()) {
      EXPECT_EQ(executable.error().blame, Blame::kCandidate);
      continue;
    }
    const auto report = compare_with_oracle(policy, **executable, rng.next(), random_options());
    ASSERT_TRUE(report.ok()) << i << ": " << report.error().message;
    EXPECT_TRUE(report->agrees()) << i << ": " << describe(*report) << "\n" << (*executable)->describe();
    total.rows_scored += report->rows_scored;
    total.same_choice += report->same_choice;
  }
  std::printf("%s\n", describe(total).c_str());
  EXPECT_GT(total.rows_scored, programs / 2);
  EXPECT_GT(total.same_choice * 100, total.rows_scored * 90);
}

TEST(Agreement, RandomPoliciesChooseTheOraclesPages) {
  const AgreementOptions options = random_options();
  AgreementReport total;
  std::set<Op> seen;
  for (int i = 0; i < random_policies(); ++i) {
    Rng rng(stream_key(2026, static_cast<uint64_t>(i)));
    vflow::GenerateOptions generate;
    generate.mla = i % 5 == 4;
    vflow::ModelGeometry model = small_model(1 << rng.below(3), static_cast<int>(8 * rng.between(1, 5)));
    if (generate.mla) {
      model.kv_lora_rank = 24;
      model.rope_dim = 8;
    }
    vflow::Policy policy = vflow::random_policy(rng, model, generate);
    policy.config.topk_val = std::min(policy.config.topk_val, 12);
    policy.config.dtype = i % 4 == 3 ? vflow::Dtype::kFp32 : policy.config.dtype;
    policy.config.kv_dtype = i % 8 == 7 ? vflow::Dtype::kFp32 : policy.config.kv_dtype;
    for (const vflow::Graph* graph : {&policy.program.cache, &policy.program.indexer}) {
      for (const vflow::Node& node : graph->nodes) { seen.insert(node.op); }
    }
    const auto executable = compile_cpu(policy);
    if (!executable.ok()) {
      EXPECT_EQ(executable.error().blame, Blame::kCandidate);
      continue;
    }
    const auto report = compare_with_oracle(policy, **executable, rng.next(), options);
    ASSERT_TRUE(report.ok()) << i << ": " << report.error().message;
    EXPECT_TRUE(report->agrees()) << i << ": " << describe(*report) << "\n" << (*executable)->describe();
    total.rows_scored += report->rows_scored;
    total.same_choice += report->same_choice;
    total.scores_compared += report->scores_compared;
    total.scores_unbounded += report->scores_unbounded;
    total.scores_identical += report->scores_identical;
    total.field_values_compared += report->field_values_compared;
    total.field_values_unbounded += report->field_values_unbounded;
  }
  std::printf("%s\n", describe(total).c_str());
  EXPECT_GT(total.rows_scored, random_policies());
  EXPECT_GT(total.same_choice * 100, total.rows_scored * 90);
  EXPECT_GT(total.scores_identical * 100, total.scores_compared * 70);  // a quarter of the policies keep float32
  EXPECT_GT(total.scores_compared, total.scores_unbounded * 4);
  for (const vflow::OpInfo& info : vflow::op_table()) { EXPECT_TRUE(seen.contains(info.op)) << info.name; }
}

}  // namespace
}  // namespace vortex::compile
