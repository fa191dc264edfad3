#include "core/vflow/tell/explain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.h"
#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/tell/cost.h"
#include "core/vflow/tell/formula.h"
#include "core/vflow/vary/edit.h"
#include "core/vflow/vary/generate.h"
#include "tests/core/vflow/samples.h"

namespace vortex::vflow {
namespace {

// Qwen3-1.7B, whose byte counts the limit model of the literature is usually quoted for.
ModelGeometry qwen3() {
  ModelGeometry model;
  model.layers = 28;
  model.num_q_heads = 16;
  model.num_kv_heads = 8;
  model.head_dim = 128;
  model.max_context = 32768;
  return model;
}

Policy policy_for(std::string_view name, const ModelGeometry& model, int block_size = 16) {
  Rng rng(1);
  Policy policy;
  const Geometry geometry = geometry_for(model, Dialect::kGqa, block_size);
  policy.program = family_program(family(name), Dialect::kGqa, geometry, rng).value();
  policy.config.block_size = block_size;
  policy.config.layers_skip.clear();
  return policy;
}

TEST(Formula, CentroidInWords) {
  EXPECT_EQ(formula_lines(sample("centroid")),
            (std::vector<std::string>{"centroid = mean[rows](k)", "select topK(dot(mean[rows](q), centroid))"}));
}

TEST(Formula, SharedValuesGetANameAndFactorsAreKept) {
  Sketch sketch(empty_program(Dialect::kGqa, geometry_for(small_model(), Dialect::kGqa, 16)));
  const std::string field = sketch.store("c", sketch.cache(Op::kMean, {sketch.cache_field("k")}));
  const int dots = sketch.indexer(Op::kGemm, {sketch.query(), sketch.indexer_field(field)});
  const int damped =
      sketch.indexer(Op::kAdd, {dots, sketch.indexer(Op::kAbs, {dots})}, attrs_affine(Op::kAdd, 2, -0.5));
  select_top(sketch, reduce_to_score(sketch, damped, Op::kMax));
  ASSERT_FALSE(sketch.failed());
  EXPECT_EQ(formula_lines(sketch.program()), (std::vector<std::string>{"c = mean[rows](k)", "t1 = dot(q, c)",
                                                                       "select topK(max[cols](2*t1 - 0.5*abs(t1)))"}));
}

TEST(Cost, BytesOfBlockTopKOnQwen3) {
  Policy policy = policy_for("centroid", qwen3());
  policy.config.topk_val = 61;
  const DecodeCost cost = decode_cost(policy, qwen3(), 16384);
  EXPECT_EQ(cost.pages, 1024);
  EXPECT_EQ(cost.selected_pages, 64);
  EXPECT_EQ(cost.scored_pages, 1022);
  EXPECT_EQ(cost.dense_bytes, 114688.0 * 16384);  // 28 layers x 8 heads x 128 x 2 tensors x 2 bytes a token
  EXPECT_EQ(cost.selected_bytes, 114688.0 * 64 * 16);
  EXPECT_EQ(cost.summary_bytes, 28.0 * 8 * 128 * 2 * 1022);  // one bf16 centroid a page
  EXPECT_EQ(cost.policy_bytes, cost.selected_bytes + cost.summary_bytes);
  EXPECT_NEAR(cost.field_overhead, 1.0 / 32, 1e-12);
  EXPECT_NEAR(cost.byte_ratio(), 1024.0 / (64 + 1022.0 / 32), 1e-9);
}

TEST(Cost, QuestReadsTwiceTheSummaries) {
  const DecodeCost centroid = decode_cost(policy_for("centroid", qwen3()), qwen3(), 16384);
  const DecodeCost quest = decode_cost(policy_for("Quest", qwen3()), qwen3(), 16384);
  EXPECT_EQ(quest.summary_bytes, 2 * centroid.summary_bytes);
  EXPECT_GT(quest.score_flops, centroid.score_flops);
}

TEST(Cost, DenseLayersAndShortContexts) {
  Policy policy = policy_for("centroid", qwen3());
  policy.config.layers_skip = {0, 5, 5};
  const DecodeCost cost = decode_cost(policy, qwen3(), 16384);
  EXPECT_EQ(cost.dense_layers, 2);
  EXPECT_EQ(cost.sparse_layers, 26);
  EXPECT_EQ(cost.dense_layer_bytes, cost.dense_bytes * 2 / 28);
  // Everything fits the budget: nothing is scored, all is read.
  const DecodeCost fits = decode_cost(policy, qwen3(), 500);
  EXPECT_EQ(fits.scored_pages, 0);
  EXPECT_EQ(fits.summary_bytes, 0);
  EXPECT_EQ(fits.score_flops, 0);
  EXPECT_EQ(fits.policy_bytes, fits.dense_bytes);
}

TEST(Cost, StateIsReadAndWritten) {
  const DecodeCost cost = decode_cost(policy_for("running average", qwen3()), qwen3(), 16384);
  EXPECT_EQ(cost.state_bytes, 28.0 * 8 * 2 * 1022);
  EXPECT_EQ(cost.summary_bytes, 28.0 * 8 * (128 + 1) * 2 * 1022);
}

// A sigmoid of every channel of q times the centroid, for both heads.
TEST(Cost, SpecialFunctionsAreCounted) {
  Sketch sketch(empty_program(Dialect::kGqa, geometry_for(qwen3(), Dialect::kGqa, 16)));
  const std::string field = sketch.store("c", sketch.cache(Op::kMean, {sketch.cache_field("k")}));
  const int product = sketch.indexer(Op::kMultiply, {sketch.query(), sketch.indexer_field(field)});
  const int gate = sketch.indexer(Op::kSigmoid, {product}, attrs_affine(Op::kSigmoid, 0, -1));
  Attrs channels;
  channels.dim = 2;
  Attrs heads;
  heads.dim = 1;
  select_top(sketch, sketch.indexer(Op::kMax, {sketch.indexer(Op::kSum, {gate}, channels)}, heads));
  ASSERT_FALSE(sketch.failed());
  Policy policy;
  policy.program = sketch.program();
  policy.config.layers_skip.clear();
  const PageCost page = page_cost(policy);
  EXPECT_EQ(page.read_bytes, 128 * 2);
  EXPECT_EQ(page.saved_bytes, 0);
  EXPECT_EQ(page.special, 2 * 128 * 2);  // an exponential and a reciprocal each
  EXPECT_GE(page.flops, 3 * 2 * 128);
  const DecodeCost cost = decode_cost(policy, qwen3(), 16384);
  EXPECT_EQ(cost.special, 28.0 * 8 * 1022 * 512);
  const std::string text = explain(policy, qwen3(), 16384);
  EXPECT_NE(text.find("a scored page, a kv head: reads 256 B, computes "), std::string::npos) << text;
  EXPECT_NE(text.find("with 512 special functions\n"), std::string::npos) << text;
  EXPECT_NE(text.find("special functions         117 Mresults"), std::string::npos) << text;
  EXPECT_EQ(decode_cost(policy, qwen3(), 100).special, 0);
}

TEST(Cost, WhatAPageSavesIsSaid) {
  const std::string text = explain(policy_for("running average", qwen3()), qwen3(), 16384);
  EXPECT_NE(text.find("a scored page, a kv head: reads 258 B, saves 2 B, computes "), std::string::npos) << text;
  EXPECT_EQ(explain(policy_for("centroid", qwen3()), qwen3(), 16384).find("special functions"), std::string::npos);
  EXPECT_EQ(explain(policy_for("centroid", qwen3()), qwen3(), 100).find("a scored page"), std::string::npos);
}

TEST(Cost, UnionAttendsBothSelections) {
  Policy policy = policy_for("centroid", qwen3());
  Selection selection = take_selection(policy.program);
  selection = {Op::kUnion, 0, {selection.scores[0], selection.scores[0]}, {40, 24}};
  Sketch sketch(policy.program);
  append_selection(sketch, selection);
  ASSERT_FALSE(sketch.failed());
  policy.program = sketch.program();
  policy.config.topk_val = 24;
  EXPECT_EQ(decode_cost(policy, qwen3(), 16384).selected_pages, 40 + 24 + 1 + 2);
  EXPECT_EQ(decode_cost(policy, qwen3(), 50 * 16).selected_pages, 50);
  EXPECT_EQ(decode_cost(policy, qwen3(), 27 * 16).scored_pages, 0);
  EXPECT_NE(explain(policy, qwen3()).find("the best 40 by one score and the best 24 by the other"), std::string::npos);
}

TEST(Explain, SaysWhatAndHowMuch) {
  const std::string text = explain(policy_for("centroid", qwen3()), qwen3(), 16384);
  for (const char* part :
       {"centroid = mean[rows](k)", "the first 1 and the last 2 pages of 16 tokens", "the best 29",
        "at 16384 tokens (1024 pages)", "a row scores 1022 pages and attends 32", "dense: 1.88 GB"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }
}

// An example policy with some of its text replaced.
std::string explained(const std::string& example, const std::string& before = "", const std::string& after = "") {
  const std::string path = std::string(VORTEX_SOURCE_DIR) + "/examples/policies/" + example;
  PolicySource source;
  source.module_text = read_file(path + ".py").value();
  source.config_text = read_file(path + ".json").value();
  if (!before.empty()) { source.module_text.replace(source.module_text.find(before), before.size(), after); }
  const CheckReport report = check_policy(source, small_model());
  EXPECT_TRUE(report.policy.has_value()) << render(report.diagnostics);
  return report.policy ? explain(*report.policy, small_model()) : "";
}

TEST(Explain, SaysWhichValueAReadSees) {
  EXPECT_NE(explained("running_average")
                .find("What reads average while pages are scored sees the value from before this step; its end saves "
                      "the new one."),
            std::string::npos);
  const std::string read_again = explained("value_energy_gate", "cache[\"v\"], None", "cache[\"centroid\"], None");
  EXPECT_NE(read_again.find("What reads centroid while a page is summarised sees the value made there."),
            std::string::npos)
      << read_again;
  EXPECT_EQ(explained("block_topk").find("What reads"), std::string::npos);
}

TEST(Explain, SaysThatConv1dIsCausal) {
  const std::string text = explained("conv1d_smoothing");
  EXPECT_NE(text.find("conv1d is causal: a page's value is made of its own and of the 2 before it, among the middle "
                      "pages."),
            std::string::npos)
      << text;
}

TEST(Explain, NoPageAtTheBeginningIsKept) {
  Policy policy = policy_for("centroid", qwen3());
  policy.config.reserved_bos = 0;
  const std::string text = explain(policy, qwen3());
  EXPECT_NE(text.find("Attends, per kv head: the last 2 pages of 16 tokens"), std::string::npos) << text;
}

TEST(Graph, TextHasALineANode) {
  const Program program = sample("Quest");
  const std::string text = graph_text(program);
  const size_t lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_EQ(lines, 3 + program.fields.size() + program.cache.nodes.size() + program.indexer.nodes.size());
  EXPECT_NE(text.find("%8 = topK (%7) : [1, 1] RAGGED"), std::string::npos) << text;
}

// Opened tags are closed and text is escaped: enough to catch a broken drawing.
void expect_well_formed(const std::string& svg) {
  ASSERT_EQ(svg.rfind("<svg ", 0), 0U);
  int depth = 0;
  for (size_t at = 0; (at = svg.find('<', at)) != std::string::npos; ++at) {
    const size_t end = svg.find('>', at);
    ASSERT_NE(end, std::string::npos);
    ASSERT_EQ(svg.substr(at + 1, end - at - 1).find('<'), std::string::npos) << svg.substr(at, 80);
    if (svg[at + 1] == '/') {
      --depth;
    } else if (svg[end - 1] != '/') {
      ++depth;
    }
  }
  EXPECT_EQ(depth, 0);
}

TEST(Graph, SvgIsWellFormedForRandomPrograms) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng(seed);
    const Program program = random_policy(rng, small_model()).program;
    const std::string svg = graph_svg(program);
    expect_well_formed(svg);
    for (const Node& node : pruned(program).indexer.nodes) {
      EXPECT_NE(svg.find(std::string(op_info(node.op).name)), std::string::npos);
    }
  }
}

TEST(Graph, SvgEscapesNames) {
  Program program = sample("centroid");
  program.fields[0].name = "a<b&\"c\"";
  const std::string svg = graph_svg(program);
  expect_well_formed(svg);
  EXPECT_NE(svg.find("a&lt;b&amp;"), std::string::npos);
}

TEST(Heatmap, HasACellAPair) {
  const std::string svg = distance_heatmap_svg({"a", "b"}, {0, 0.25, 0.25, 0});
  expect_well_formed(svg);
  EXPECT_NE(svg.find(">0.25</text>"), std::string::npos);
  EXPECT_EQ(std::count(svg.begin(), svg.end(), '#') > 4, true);
}

TEST(Reference, NamesEveryOperationAndStaysShort) {
  const std::string text = language_reference_markdown();
  for (const OpInfo& info : op_table()) {
    if (info.name.empty()) { continue; }
    EXPECT_NE(text.find("`" + std::string(info.name) + "("), std::string::npos) << info.name;
  }
  EXPECT_LT(text.size(), 9000U);
}

std::string document() {
  const Result<std::string> text = read_file(std::string(VORTEX_SOURCE_DIR) + "/docs/vflow.md");
  EXPECT_TRUE(text.ok());
  return text.ok() ? *text : "";
}

TEST(Reference, TheDocumentEndsWithWhatTheTableGives) {
  EXPECT_TRUE(document().ends_with("\n" + language_reference_markdown()))
      << "replace the end of docs/vflow.md, from its line \"# vFlow\" on, by the output of `vortex vflow ref`";
}

// The next block of the language after `from`, which moves behind it.
std::string next_block(const std::string& text, const std::string& language, size_t& from) {
  const std::string fence = "```" + language + "\n";
  const size_t begin = text.find(fence, from);
  if (begin == std::string::npos) { return ""; }
  const size_t end = text.find("```", begin + fence.size());
  from = end + 3;
  return text.substr(begin + fence.size(), end - begin - fence.size());
}

void expect_lines(const std::string& lines, const std::string& text) {
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) { EXPECT_NE(text.find(line), std::string::npos) << line << text; }
}

// Its policies check without a finding and are explained as it says; the mistake that it shows is found.
TEST(Tutorial, ItsPoliciesAreWhatItSays) {
  const std::string text = document();
  const std::string tutorial = text.substr(0, text.find("\n# vFlow\n"));
  PolicySource first;
  size_t at = 0;
  int policies = 0;
  size_t after_first = 0;
  while (tutorial.find("```python\n", at) != std::string::npos) {
    PolicySource source;
    source.module_text = next_block(tutorial, "python", at);
    source.config_text = next_block(tutorial, "json", at);
    const CheckReport report = check_policy(source, small_model());
    ASSERT_TRUE(report.policy.has_value()) << render(report.diagnostics);
    EXPECT_TRUE(report.diagnostics.empty()) << render(report.diagnostics);
    expect_lines(next_block(tutorial, "text", at), explain(*report.policy, small_model()));
    if (policies++ > 0) { continue; }
    first = source;
    after_first = at;
  }
  EXPECT_EQ(policies, 3);

  const size_t call = first.module_text.find("self.match(query");
  ASSERT_NE(call, std::string::npos);
  first.module_text.replace(call, 16, "self.match(q");
  const CheckReport mistaken = check_policy(first, small_model());
  EXPECT_FALSE(mistaken.policy.has_value());
  expect_lines(next_block(tutorial, "text", after_first), render(mistaken.diagnostics));
}

// The example of the reference is a policy that checks.
TEST(Reference, ItsExampleChecks) {
  const std::string text = language_reference_markdown();
  const size_t begin = text.find("```python\n") + 10;
  PolicySource source;
  source.module_text = text.substr(begin, text.find("```", begin) - begin);
  source.config_text =
      R"({"model_path": "m", "vortex_module_path": "policy.py", "vortex_module_name": "head_max_centroid",
    "vortex_block_size": 16, "vortex_layers_skip": [0], "vortex_block_reserved_bos": 1, "vortex_block_reserved_eos": 2,
    "vortex_topk_val": 29, "vortex_max_seq_lens": 8192, "disable_radix_cache": false})";
  const CheckReport report = check_policy(source, small_model());
  ASSERT_TRUE(report.policy.has_value()) << render(report.diagnostics);
  EXPECT_EQ(canonical_text(report.policy->program), canonical_text(sample("head-max centroid")));
}

TEST(Reference, JsonListsTheTable) {
  const nlohmann::json ops = nlohmann::json::parse(ops_json());
  size_t named = 0;
  for (const OpInfo& info : op_table()) { named += !info.name.empty(); }
  EXPECT_EQ(ops.size(), named);
  EXPECT_EQ(ops.at(1).at("name"), "GeMM");
}

}  // namespace
}  // namespace vortex::vflow
