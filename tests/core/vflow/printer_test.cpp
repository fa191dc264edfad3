#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "core/vflow/graph/canonical.h"
#include "core/vflow/policy.h"
#include "core/vflow/vary/generate.h"
#include "core/vflow/vary/sketch.h"
#include "tests/core/vflow/samples.h"

namespace vortex::vflow {
namespace {

Policy named(Program program) {
  Policy policy;
  policy.program = std::move(program);
  policy.program.name = "sample_policy";
  policy.config.layers_skip.clear();
  policy.config.max_seq_lens = small_model().max_context;
  for (const Node& node : policy.program.indexer.nodes) {
    if (node.op == Op::kSave) { policy.config.disable_radix_cache = true; }
  }
  return policy;
}

void expect_round_trip(const Policy& policy, const ModelGeometry& model) {
  const PolicySource source = print_policy(policy);
  const CheckReport report = check_policy(source, model);
  ASSERT_TRUE(report.policy.has_value()) << render(report.diagnostics) << source.module_text << source.config_text;
  EXPECT_EQ(canonical_text(report.policy->program), canonical_text(policy.program)) << source.module_text;
  EXPECT_EQ(policy_key(*report.policy), policy_key(policy)) << source.config_text;
  // Printing what was read back gives the same text: printing is a normal form.
  EXPECT_EQ(print_policy(*report.policy).module_text, source.module_text);
  EXPECT_EQ(print_policy(*report.policy).config_text, source.config_text);
}

TEST(Printer, WritesIdiomaticSource) {
  const std::string text = print_policy(named(sample("centroid"))).module_text;
  for (const char* part :
       {"from vortex_torch.cache import Mean as CMean\n", "from vortex_torch.indexer import GeMM, Mean, topK\n",
        "@register(\"sample_policy\")\nclass SamplePolicyFlow(vFlow):\n", "\"centroid\": (1, head_dim),",
        "self.c_mean(cache[\"k\"], output=cache[\"centroid\"], loc=loc, ctx=ctx)", "self.topk(dots, o, ctx=ctx)"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }
  EXPECT_EQ(text.find("import torch\n"), std::string::npos);
  EXPECT_EQ(text.find("Save"), std::string::npos);
}

TEST(Printer, RoundTripOfEveryFamily) {
  for (const Family& each : score_families()) {
    SCOPED_TRACE(each.name);
    expect_round_trip(named(sample(each.name, 7)), small_model());
  }
}

TEST(Printer, RoundTripOfEveryFamilyForMla) {
  for (const Family& each : score_families()) {
    SCOPED_TRACE(each.name);
    Rng rng(7);
    const Geometry geometry = geometry_for(small_mla_model(), Dialect::kMla, 16);
    expect_round_trip(named(family_program(each, Dialect::kMla, geometry, rng).value()), small_mla_model());
  }
}

TEST(Printer, AProgramWithoutFieldsGetsOne) {
  const Policy policy = named(sample("best token"));
  const std::string text = print_policy(policy).module_text;
  EXPECT_NE(text.find("\"unused\": (1, 1),"), std::string::npos) << text;
  expect_round_trip(policy, small_model());
}

TEST(Printer, AValueThatIsStoredAndReadAgain) {
  Sketch sketch(empty_program(Dialect::kGqa, geometry_for(small_model(), Dialect::kGqa, 16)));
  const int mean = sketch.cache(Op::kMean, {sketch.cache_field("k")});
  const std::string centroid = sketch.store("centroid", mean);
  const std::string copy = sketch.store("copy", mean);
  const std::string norm = sketch.store("norm", sketch.cache(Op::kL2Norm, {mean}, attrs_dim(Op::kL2Norm, 2)));
  const int query = sketch.indexer(Op::kMean, {sketch.query()});
  const int a = sketch.indexer(Op::kGemm, {query, sketch.indexer_field(centroid)});
  const int b = sketch.indexer(Op::kGemm, {sketch.indexer(Op::kAbs, {query}), sketch.indexer_field(copy)});
  const int both = sketch.indexer(Op::kAdd, {a, b});
  select_top(sketch, sketch.indexer(Op::kMultiply, {both, sketch.indexer_field(norm)}));
  ASSERT_FALSE(sketch.failed());
  const Policy policy = named(sketch.program());
  expect_round_trip(policy, small_model());
  // As two operations, because vortex_torch would not store one whose result is read in the same pass.
  const CheckReport report = check_policy(print_policy(policy), small_model());
  EXPECT_EQ(render(report.diagnostics).find("stored-and-read"), std::string::npos) << render(report.diagnostics);
}

TEST(Printer, ConstantsComeBackExactly) {
  Sketch sketch(empty_program(Dialect::kGqa, geometry_for(small_model(), Dialect::kGqa, 16)));
  const std::string field = sketch.store("c", sketch.cache(Op::kMean, {sketch.cache_field("k")}));
  Constant matrix{{2, 1, 64}, {}, {0, 1, 0, 1}};
  for (int i = 0; i < 128; ++i) { matrix.data.push_back(0.1F * static_cast<float>(i) - 3); }
  Attrs attrs;
  attrs.constant = sketch.constant(matrix);
  const int weight = sketch.indexer(Op::kGemm, {sketch.query(), sketch.indexer(Op::kParameter, {}, attrs)});
  const int dots = sketch.indexer(Op::kGemm, {sketch.query(), sketch.indexer_field(field)});
  attrs.constant = sketch.constant({{2, 1, 4}, {1, 0.1F, -2e-7F, 1e9F, 0, 0.5F, 0.25F, 3}, {}});
  const int smooth = sketch.indexer(Op::kConv1d, {dots}, attrs);
  const int product = sketch.indexer(Op::kMultiply, {smooth, weight});
  const int shifted = sketch.indexer(Op::kAddMul, {product}, attrs_affine(Op::kAddMul, -1e-12, 0.1));
  select_top(sketch, reduce_to_score(sketch, shifted, Op::kMax));
  ASSERT_FALSE(sketch.failed());
  const Policy policy = named(sketch.program());
  expect_round_trip(policy, small_model());
  const CheckReport report = check_policy(print_policy(policy), small_model());
  ASSERT_TRUE(report.policy);
  EXPECT_EQ(report.policy->program.constants, policy.program.constants);
}

TEST(Printer, DeadCodeIsNotPrinted) {
  Sketch sketch(sample("centroid"));
  const std::string field = sketch.store("never_read", sketch.cache(Op::kMax, {sketch.cache_field("v")}));
  sketch.indexer(Op::kExp, {sketch.indexer_field(field)});
  ASSERT_FALSE(sketch.failed());
  EXPECT_EQ(print_policy(named(sketch.program())).module_text, print_policy(named(sample("centroid"))).module_text);
}

TEST(Printer, RoundTripOfTheExamples) {
  int examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(VORTEX_SOURCE_DIR "/examples/policies")) {
    if (entry.path().extension() != ".py") { continue; }
    SCOPED_TRACE(entry.path().filename().string());
    PolicySource source;
    source.module_file = entry.path().filename().string();
    source.module_text = read_file(entry.path()).value();
    source.config_text = read_file(std::filesystem::path(entry.path()).replace_extension(".json")).value();
    const CheckReport report = check_policy(source, small_model());
    ASSERT_TRUE(report.policy.has_value()) << render(report.diagnostics);
    expect_round_trip(*report.policy, small_model());
    ++examples;
  }
  EXPECT_GE(examples, 5);
}

TEST(PrinterProperty, RandomPoliciesRoundTrip) {
  const int rounds = property_rounds(2000, 10000);
  for (int i = 0; i < rounds && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(i);
    Rng rng(stream_key(41, static_cast<uint64_t>(i)));
    GenerateOptions options;
    options.mla = i % 4 == 3;
    const ModelGeometry model = options.mla ? small_mla_model() : small_model();
    expect_round_trip(random_policy(rng, model, options), model);
  }
}

}  // namespace
}  // namespace vortex::vflow
