#include "core/compile/stages.h"

#include <gtest/gtest.h>

#include "core/compile/cpu/cpu_executable.h"
#include "core/vflow/vary/sketch.h"

namespace vortex::compile {
namespace {

using vflow::Op;

// mean query, centroid scores, softmax over pages, plus the mean of the raw scores over pages.
struct Example {
  vflow::Sketch sketch{vflow::empty_program(vflow::Dialect::kGqa, vflow::Geometry{2, 16, 16, 0})};
  int mean, score, soft, centre, sum, top, unused;

  Example() {
    const auto field =
        sketch.store("c", sketch.cache(Op::kMean, {sketch.cache_field("k")}, vflow::attrs_dim(Op::kMean, 1)));
    mean = sketch.indexer(Op::kMean, {sketch.query()}, vflow::attrs_dim(Op::kMean, 1));
    score = sketch.indexer(Op::kGemm, {mean, sketch.indexer_field(field)});
    soft = sketch.indexer(Op::kSoftmax, {score});
    centre = sketch.indexer(Op::kMean, {score}, vflow::attrs_dim(Op::kMean, 0));
    unused = sketch.indexer(Op::kExp, {score});
    sum = sketch.indexer(Op::kAdd, {soft, centre});
    top = sketch.indexer(Op::kTopK, {sum});
  }
};

TEST(Stages, AnOperationOverPagesEndsItsStage) {
  Example e;
  ASSERT_FALSE(e.sketch.failed());
  const vflow::Graph& graph = e.sketch.program().indexer;
  const StagePlan plan = plan_stages(graph);
  ASSERT_EQ(plan.stages.size(), 2U);
  EXPECT_EQ(plan.stages[0].fused, (std::vector<int>{e.mean, e.score}));
  EXPECT_EQ(plan.stages[0].over_rows, (std::vector<int>{e.soft, e.centre}));
  EXPECT_EQ(plan.stages[1].fused, (std::vector<int>{e.sum}));
  EXPECT_EQ(plan.stages[1].over_rows, (std::vector<int>{e.top}));
}

TEST(Stages, OnlyWhatLeavesAStageIsRounded) {
  Example e;
  const vflow::Graph& graph = e.sketch.program().indexer;
  const StagePlan plan = plan_stages(graph);
  const auto kept = [&](int node) { return static_cast<bool>(plan.kept[static_cast<size_t>(node)]); };
  EXPECT_FALSE(kept(e.mean));
  EXPECT_TRUE(kept(e.score));
  EXPECT_TRUE(kept(e.soft));
  EXPECT_TRUE(kept(e.sum));
  EXPECT_FALSE(plan.live[static_cast<size_t>(e.unused)]);
  EXPECT_FALSE(reads_kept(graph, plan, e.score, e.mean));
  EXPECT_TRUE(reads_kept(graph, plan, e.soft, e.score));
  EXPECT_EQ(kept_dtype(graph.nodes[static_cast<size_t>(e.soft)], vflow::Dtype::kFp32), vflow::Dtype::kBf16);
  EXPECT_EQ(kept_dtype(graph.nodes[static_cast<size_t>(e.score)], vflow::Dtype::kFp32), vflow::Dtype::kFp32);
}

TEST(Stages, ReshapeToOddSizesEndsAStage) {
  for (const auto& [cols, stages] : {std::pair{16, 1U}, std::pair{12, 2U}}) {
    vflow::Sketch s(vflow::empty_program(vflow::Dialect::kGqa, vflow::Geometry{1, cols, 16, 0}));
    const int scaled = s.indexer(Op::kMultiply, {s.query(), s.indexer_field("v")});
    const int flat = s.indexer(Op::kReshape, {scaled}, {}, {1, 16 * cols});
    s.indexer(Op::kTopK, {s.indexer(Op::kMax, {flat}, vflow::attrs_dim(Op::kMax, 2))});
    ASSERT_FALSE(s.failed());
    EXPECT_EQ(plan_stages(s.program().indexer).stages.size(), stages) << cols;
  }
}

TEST(Stages, TheDescriptionNamesOperationsAndWhatIsKept) {
  Example e;
  const vflow::Graph& graph = e.sketch.program().indexer;
  const std::string text = describe_stages(graph, plan_stages(graph), vflow::Dtype::kBf16);
  EXPECT_NE(text.find("stage 1:"), std::string::npos);
  EXPECT_NE(text.find("Softmax"), std::string::npos);
  EXPECT_NE(text.find("keeps"), std::string::npos);
}

TEST(RowBudget, KeepsReservedPagesAndTheLastOneAboveAll) {
  vflow::EngineConfig config;
  config.topk_val = 5;
  config.reserved_bos = 1;
  config.reserved_eos = 2;
  EXPECT_TRUE(row_budget(config, 0).everything_fits);
  EXPECT_TRUE(row_budget(config, 8).everything_fits);
  const RowBudget nine = row_budget(config, 9);
  EXPECT_FALSE(nine.everything_fits);
  EXPECT_EQ(nine.middle, 5);
  EXPECT_EQ(nine.bos, 1);
  EXPECT_EQ(nine.eos, 2);

  std::vector<vflow::Diagnostic> diagnostics;
  config.schedule = vflow::Schedule::compile("return 1;", "policy", diagnostics);
  ASSERT_TRUE(diagnostics.empty());
  const RowBudget one = row_budget(config, 9);
  EXPECT_EQ(one.eos, 1);
  EXPECT_EQ(one.bos, 0);
  EXPECT_EQ(one.middle, 0);
}

TEST(CompileCpu, RefusesWhatItCannotKeep) {
  Example e;
  vflow::Policy policy;
  policy.program = e.sketch.program();
  policy.config.dtype = vflow::Dtype::kFp8E5m2;
  const auto refused = compile_cpu(policy);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kCandidate);
  EXPECT_NE(refused.error().message.find("fp8"), std::string::npos);
  policy.config.dtype = vflow::Dtype::kBf16;
  EXPECT_TRUE(compile_cpu(policy).ok());
  policy.program.indexer.nodes.pop_back();
  EXPECT_FALSE(compile_cpu(policy).ok());
}

}  // namespace
}  // namespace vortex::compile
