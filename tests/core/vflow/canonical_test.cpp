#include "core/vflow/graph/canonical.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/vary/generate.h"
#include "tests/core/vflow/samples.h"

namespace vortex::vflow {
namespace {

// A random order of the nodes in which operands still come first; commutative operands are exchanged at random.
Graph reordered(const Graph& graph, Rng& rng) {
  const size_t n = graph.nodes.size();
  std::vector<int> place(n, -1);
  Graph result;
  while (result.nodes.size() < n) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < n; ++i) {
      const std::vector<int>& inputs = graph.nodes[i].inputs;
      const bool placed =
          std::all_of(inputs.begin(), inputs.end(), [&](int input) { return place[static_cast<size_t>(input)] >= 0; });
      if (place[i] < 0 && placed) { ready.push_back(i); }
    }
    const size_t next = ready[rng.below(ready.size())];
    Node node = graph.nodes[next];
    for (int& input : node.inputs) { input = place[static_cast<size_t>(input)]; }
    if (op_info(node.op).commutative && rng.below(2) == 0) {
      std::swap(node.inputs[0], node.inputs[1]);
      std::swap(node.attrs.alpha, node.attrs.beta);
    }
    place[next] = static_cast<int>(result.nodes.size());
    result.nodes.push_back(std::move(node));
  }
  return result;
}

// Another spelling of the same program: names, order of fields, nodes and constants, and some dead code.
Program respelled(const Program& program, Rng& rng) {
  Program result = program;
  result.name = "other_name";
  const size_t user = static_cast<size_t>(
      std::count_if(result.fields.begin(), result.fields.end(), [](const Field& field) { return !field.builtin; }));
  std::vector<int> position(result.fields.size());
  for (size_t i = 0; i < position.size(); ++i) { position[i] = static_cast<int>(i); }
  for (size_t i = user; i > 1; --i) { std::swap(position[i - 1], position[rng.below(i)]); }
  for (size_t i = 0; i < user; ++i) {
    result.fields[static_cast<size_t>(position[i])] = program.fields[i];
    result.fields[static_cast<size_t>(position[i])].name = "renamed" + std::to_string(i);
  }
  std::reverse(result.constants.begin(), result.constants.end());
  for (Graph* graph : {&result.cache, &result.indexer}) {
    *graph = reordered(*graph, rng);
    for (Node& node : graph->nodes) {
      if (node.attrs.field >= 0) { node.attrs.field = position[static_cast<size_t>(node.attrs.field)]; }
      if (node.attrs.constant >= 0) {
        node.attrs.constant = static_cast<int>(result.constants.size()) - 1 - node.attrs.constant;
      }
    }
  }
  const int query = append_node(result, Side::kIndexer, Op::kQuery, {}).value();
  append_node(result, Side::kIndexer, Op::kExp, {query}, default_attrs(Op::kExp)).value();
  return result;
}

// Changes one number that the program's result depends on; false if it has none.
bool change_one_constant(Program& program, Rng& rng) {
  const Liveness live = find_live(program, false);
  std::vector<std::pair<Node*, Arg>> places;
  for (Side side : {Side::kCache, Side::kIndexer}) {
    std::vector<Node>& nodes = (side == Side::kCache ? program.cache : program.indexer).nodes;
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (!(side == Side::kCache ? live.cache : live.indexer)[i]) { continue; }
      const OpInfo& info = op_info(nodes[i].op);
      for (const ArgInfo& arg : info.args) {
        const bool used = (arg.arg == Arg::kAlpha || arg.arg == Arg::kBeta) && info.uses_alpha_beta;
        if (used || arg.arg == Arg::kScale || arg.arg == Arg::kTolerance) { places.emplace_back(&nodes[i], arg.arg); }
      }
    }
  }
  if (places.empty()) { return false; }
  const auto [node, arg] = places[rng.below(places.size())];
  set_arg(node->attrs, arg, get_arg(node->attrs, arg) + 0.375);
  return true;
}

TEST(Canonical, TextOfAKnownProgram) {
  EXPECT_EQ(canonical_text(sample("centroid")), "(topK (GeMM (Mean dim=1 q) (Field (Mean dim=1 k))))");
}

TEST(Canonical, StateIsNamedByNumberInsideItself) {
  Program program = sample("running average", 3);
  const std::string text = canonical_text(program);
  EXPECT_NE(text.find("(Load (Field (Fill alpha=0 [1, 1])"), std::string::npos) << text;
  EXPECT_NE(text.find("Same #"), std::string::npos) << text;
}

TEST(Canonical, FamiliesAreAllDifferent) {
  std::set<std::string> hashes;
  size_t count = 0;
  for (const Family& each : score_families()) {
    Rng rng(5);
    const Geometry geometry = geometry_for(small_model(), Dialect::kGqa, 16);
    hashes.insert(program_hash(family_program(each, Dialect::kGqa, geometry, rng).value()));
    ++count;
  }
  EXPECT_EQ(hashes.size(), count);
}

TEST(Canonical, IgnoredAttributesDoNotCount) {
  Program a = sample("Quest");
  Program b = a;
  for (Node& node : b.indexer.nodes) {
    if (node.op == Op::kMultiply || node.op == Op::kMaximum) { node.attrs.alpha = 7; }
  }
  EXPECT_EQ(program_hash(a), program_hash(b));
}

TEST(Canonical, OrderOfGemmOperandsCounts) {
  Program a = sample("best token");
  Program b = a;
  for (Node& node : b.indexer.nodes) {
    if (node.op == Op::kGemm) { std::swap(node.inputs[0], node.inputs[1]); }
  }
  EXPECT_NE(program_hash(a), program_hash(b));
}

TEST(Canonical, AddExchangesItsFactorsWithItsOperands) {
  Program a = sample("centroid and spread");
  Program b = a;
  Program c = a;
  for (Node& node : b.indexer.nodes) {
    if (node.op != Op::kAdd) { continue; }
    std::swap(node.inputs[0], node.inputs[1]);
    std::swap(node.attrs.alpha, node.attrs.beta);
  }
  for (Node& node : c.indexer.nodes) {
    if (node.op == Op::kAdd) { std::swap(node.attrs.alpha, node.attrs.beta); }
  }
  EXPECT_EQ(program_hash(a), program_hash(b));
  EXPECT_NE(program_hash(a), program_hash(c));
}

TEST(Canonical, AMaskDependsOnItsOperandsShapeOnly) {
  const auto masked = [](bool of_field) {
    Sketch sketch(empty_program(Dialect::kGqa, geometry_for(small_model(), Dialect::kGqa, 16)));
    const std::string field = sketch.store("c", sketch.cache(Op::kMean, {sketch.cache_field("k")}));
    const int mean = sketch.indexer(Op::kMean, {sketch.query()});
    Attrs attrs = attrs_dim(Op::kMaskSlice, 2);
    attrs.end = 8;
    const int mask = sketch.indexer(Op::kMaskSlice, {of_field ? sketch.indexer_field(field) : mean}, attrs);
    const int weighted = sketch.indexer(Op::kMultiply, {mean, mask});
    select_top(sketch, sketch.indexer(Op::kGemm, {weighted, sketch.indexer_field(field)}));
    EXPECT_FALSE(sketch.failed());
    return program_hash(sketch.program());
  };
  EXPECT_EQ(masked(true), masked(false));
}

TEST(Canonical, EqualFieldsAreOneField) {
  const auto twice = [](bool two_fields) {
    Sketch sketch(empty_program(Dialect::kGqa, geometry_for(small_model(), Dialect::kGqa, 16)));
    const auto field = [&] { return sketch.store("c", sketch.cache(Op::kMean, {sketch.cache_field("k")})); };
    const std::string first = field();
    const std::string second = two_fields ? field() : first;
    const int mean = sketch.indexer(Op::kMean, {sketch.query()});
    const int a = sketch.indexer(Op::kGemm, {mean, sketch.indexer_field(first)});
    const int b = sketch.indexer(Op::kSoftmax, {sketch.indexer(Op::kGemm, {mean, sketch.indexer_field(second)})});
    select_top(sketch, sketch.indexer(Op::kMultiply, {a, b}));
    EXPECT_FALSE(sketch.failed());
    return sketch.program();
  };
  EXPECT_EQ(program_hash(twice(true)), program_hash(twice(false)));
  EXPECT_EQ(merged(twice(true)).fields.size(), 3U);
  EXPECT_EQ(program_hash(merged(twice(true))), program_hash(twice(true)));
}

TEST(Canonical, DeadSaveDoesNotCount) {
  Program plain = sample("centroid");
  Sketch sketch(plain);
  const std::string field = sketch.fill("state", {1, 1}, 0);
  const int total = sketch.indexer(Op::kAdd, {sketch.load(field), sketch.indexer(Op::kSum, {sketch.load(field)})});
  sketch.save(total, field);
  ASSERT_FALSE(sketch.failed());
  EXPECT_EQ(program_hash(sketch.program()), program_hash(plain));
  EXPECT_EQ(pruned(sketch.program()).fields.size(), plain.fields.size());
}

TEST(PolicyKey, KnowsWhatChangesTheComputation) {
  const Policy base = {sample("centroid"), {}};
  const std::string key = policy_key(base);
  const auto differs = [&](auto change) {
    Policy policy = base;
    change(policy.config);
    return policy_key(policy) != key;
  };
  EXPECT_TRUE(differs([](EngineConfig& c) { c.block_size = 32; }));
  EXPECT_TRUE(differs([](EngineConfig& c) { c.topk_val = 30; }));
  EXPECT_TRUE(differs([](EngineConfig& c) { c.topk_ratio = 0.1; }));
  EXPECT_TRUE(differs([](EngineConfig& c) { c.reserved_bos = 2; }));
  EXPECT_TRUE(differs([](EngineConfig& c) { c.reserved_eos = 3; }));
  EXPECT_TRUE(differs([](EngineConfig& c) { c.layers_skip = {}; }));
  EXPECT_TRUE(differs([](EngineConfig& c) { c.kv_dtype = Dtype::kFp8E4m3; }));
  EXPECT_FALSE(differs([](EngineConfig& c) { c.layers_skip = {0, 0}; }));
  EXPECT_FALSE(differs([](EngineConfig& c) { c.workload_chunk_size = 64; }));
  EXPECT_FALSE(differs([](EngineConfig& c) { c.model_path = c.module_path = c.module_name = "x"; }));
}

TEST(CanonicalProperty, SpellingDoesNotMatterAndConstantsDo) {
  const int rounds = property_rounds(2000, 10000);
  int changed = 0;
  for (int i = 0; i < rounds; ++i) {
    Rng rng(stream_key(17, static_cast<uint64_t>(i)));
    GenerateOptions options;
    options.mla = i % 4 == 3;
    const Policy policy = random_policy(rng, options.mla ? small_mla_model() : small_model(), options);
    const std::string hash = program_hash(policy.program);
    ASSERT_EQ(hash, program_hash(respelled(policy.program, rng))) << canonical_text(policy.program) << "\n" << i;
    ASSERT_EQ(hash, program_hash(pruned(policy.program))) << i;
    ASSERT_EQ(hash, program_hash(merged(policy.program))) << i;
    Program other = policy.program;
    if (!change_one_constant(other, rng)) { continue; }
    ++changed;
    ASSERT_NE(hash, program_hash(other)) << canonical_text(policy.program);
  }
  EXPECT_GT(changed, rounds / 3);
}

}  // namespace
}  // namespace vortex::vflow
