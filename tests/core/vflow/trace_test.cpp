#include "core/vflow/trace/trace.h"

#include <gtest/gtest.h>

#include "tests/core/vflow/check_cases.h"

namespace vortex::vflow {
namespace {

Policy checked(const std::string& file, const ModelGeometry& model) {
  for (const PolicySource& source : load_modules()) {
    if (source.module_file != file) { continue; }
    CheckReport report = check_policy(source, model);
    EXPECT_TRUE(report.policy.has_value()) << render(report.diagnostics);
    if (report.policy) { return *report.policy; }
  }
  ADD_FAILURE() << file << " is missing";
  return {};
}

std::vector<Op> ops(const Graph& graph) {
  std::vector<Op> result;
  for (const Node& node : graph.nodes) { result.push_back(node.op); }
  return result;
}

TEST(Trace, Quest) {
  const Program program = checked("quest.py", test_model()).program;
  EXPECT_EQ(program.name, "quest");
  ASSERT_EQ(program.fields.size(), 4U);
  EXPECT_EQ(program.fields[0].name, "key_max");
  EXPECT_EQ(program.fields[0].shape, (Shape{1, 64}));
  EXPECT_TRUE(program.fields[2].builtin);
  EXPECT_EQ(program.fields[2].name, "k");
  EXPECT_EQ(program.fields[2].shape, (Shape{16, 64}));
  EXPECT_EQ(ops(program.cache), (std::vector<Op>{Op::kField, Op::kMax, Op::kStore, Op::kMin, Op::kStore}));
  EXPECT_EQ(ops(program.indexer), (std::vector<Op>{Op::kQuery, Op::kField, Op::kMultiply, Op::kField, Op::kMultiply,
                                                   Op::kMaximum, Op::kSum, Op::kMax, Op::kTopK}));
  EXPECT_EQ(program.indexer.nodes[2].shape, (Shape{2, 64}));
  EXPECT_EQ(program.indexer.nodes[2].format, Format::kRagged);
  EXPECT_EQ(program.indexer.nodes[6].attrs.dim, 2);
  EXPECT_EQ(program.indexer.nodes[8].inputs, std::vector<int>{7});
  EXPECT_GT(program.indexer.nodes[2].pos.line, 0);
}

TEST(Trace, StateFields) {
  const Program program = checked("running_average.py", test_model()).program;
  EXPECT_EQ(ops(program.cache), (std::vector<Op>{Op::kField, Op::kMean, Op::kStore, Op::kFill}));
  const std::vector<Node>& nodes = program.indexer.nodes;
  const auto load = std::find_if(nodes.begin(), nodes.end(), [](const Node& n) { return n.op == Op::kLoad; });
  const auto save = std::find_if(nodes.begin(), nodes.end(), [](const Node& n) { return n.op == Op::kSave; });
  ASSERT_NE(load, nodes.end());
  ASSERT_NE(save, nodes.end());
  EXPECT_EQ(load->attrs.field, 1);
  EXPECT_EQ(save->attrs.field, 1);
  EXPECT_TRUE(load->inputs.empty());
  EXPECT_EQ(save->inputs.size(), 1U);
}

TEST(Trace, ConvolutionWeights) {
  const Program program = checked("conv1d_smoothing.py", test_model()).program;
  ASSERT_EQ(program.constants.size(), 1U);
  EXPECT_EQ(program.constants[0].dims, (std::vector<int>{3, 1, 1}));
  EXPECT_EQ(program.constants[0].data, (std::vector<float>{0.6F, 0.3F, 0.1F}));
}

TEST(Trace, SizesFollowTheModel) {
  ModelGeometry model = test_model();
  model.head_dim = 128;
  model.num_q_heads = 32;
  const Program program = checked("lserve_subblock.py", model).program;
  EXPECT_EQ(program.geometry.group, 8);
  EXPECT_EQ(program.fields[0].shape, (Shape{4, 128}));
  EXPECT_EQ(program.indexer.nodes[2].shape, (Shape{32, 128}));
}

TEST(Trace, TheConfigurationPicksAClass) {
  const Program program = checked("channel_groups.py", test_model()).program;
  EXPECT_EQ(program.name, "channels_odd");
  int masks = 0;
  for (const Node& node : program.indexer.nodes) {
    if (node.op != Op::kMaskSlice) { continue; }
    ++masks;
    EXPECT_EQ(node.attrs.end - node.attrs.start, 16);
    EXPECT_EQ(node.attrs.start % 32, 16);
  }
  EXPECT_EQ(masks, 2);
}

TEST(Trace, LatentAttention) {
  const Program program = checked("latent_blend.py", test_model(true)).program;
  EXPECT_EQ(program.dialect, Dialect::kMla);
  EXPECT_EQ(program.geometry.group, 8);
  EXPECT_EQ(program.geometry.head_dim, 576);
  EXPECT_EQ(program.geometry.rope_dim, 64);
  ASSERT_EQ(program.fields.size(), 2U);
  EXPECT_EQ(program.fields[1].name, "latent");
  EXPECT_EQ(program.fields[1].shape, (Shape{16, 576}));
}

// Tracing is a function of its inputs.
TEST(Trace, TwiceTheSame) {
  for (const PolicySource& source : load_modules()) {
    const bool mla = source.module_text.find("(vFlowMLA)") != std::string::npos;
    const CheckReport a = check_policy(source, test_model(mla));
    const CheckReport b = check_policy(source, test_model(mla));
    ASSERT_TRUE(a.policy && b.policy);
    EXPECT_EQ(ops(a.policy->program.indexer), ops(b.policy->program.indexer));
    EXPECT_EQ(ops(a.policy->program.cache), ops(b.policy->program.cache));
  }
}

}  // namespace
}  // namespace vortex::vflow
