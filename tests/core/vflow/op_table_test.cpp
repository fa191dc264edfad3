#include "core/vflow/graph/op_table.h"

#include <gtest/gtest.h>

#include <set>

namespace vortex::vflow {
namespace {

constexpr int kGroup = 2;
constexpr int kHeadDim = 64;
constexpr int kBlock = 16;

Program base_program() {
  Program program;
  program.geometry = {kGroup, kHeadDim, kBlock, 0};
  program.fields = {
      {"centroid", {1, kHeadDim}, false}, {"k", {kBlock, kHeadDim}, true}, {"v", {kBlock, kHeadDim}, true}};
  program.constants = {{{3, 1, 1}, {0.5F, 0.25F, 0.25F}, {}}, {{4, 2, kHeadDim}, {}, {}}};
  return program;
}

TypedValue ragged(int rows, int cols) { return {{rows, cols}, Format::kRagged}; }
TypedValue batched(int rows, int cols) { return {{rows, cols}, Format::kBatched}; }
TypedValue paged(int rows, int cols) { return {{rows, cols}, Format::kPaged}; }
TypedValue parameter(int rows, int cols) { return {{rows, cols}, Format::kParameter}; }
TypedValue table() { return {{1, 1}, Format::kRagged, true}; }

Attrs with_dim(int dim) {
  Attrs attrs;
  attrs.dim = dim;
  return attrs;
}

struct Case {
  Side side;
  Op op;
  Attrs attrs;
  std::vector<TypedValue> operands;
  Shape reshape_to;
  Shape shape;  // {0, 0}: refused
  Format format;
  const char* words;  // part of the refusal
};

Attrs interleave(int dim, int k) {
  Attrs attrs = with_dim(dim);
  attrs.k = k;
  return attrs;
}

Attrs kron(unsigned axes) {
  Attrs attrs;
  attrs.kron_axes = axes;
  return attrs;
}

Attrs mask(int start, int end, int dim) {
  Attrs attrs = with_dim(dim);
  attrs.start = start;
  attrs.end = end;
  return attrs;
}

Attrs tolerance(double value) {
  Attrs attrs;
  attrs.tolerance = value;
  return attrs;
}

Attrs of_field(int field) {
  Attrs attrs;
  attrs.field = field;
  return attrs;
}

Attrs of_constant(int constant) {
  Attrs attrs;
  attrs.constant = constant;
  return attrs;
}

void check(const Case& c) {
  const Program program = base_program();
  const Result<TypedValue> result = infer(c.side, c.op, c.attrs, c.operands, program, c.reshape_to);
  const std::string where = std::string(op_info(c.op).name) + " expecting " + shape_text(c.shape);
  if (c.shape.rows == 0) {
    ASSERT_FALSE(result.ok()) << where;
    EXPECT_EQ(result.error().blame, Blame::kCandidate) << where;
    EXPECT_NE(result.error().message.find(c.words), std::string::npos) << result.error().message;
    return;
  }
  ASSERT_TRUE(result.ok()) << where << ": " << result.error().message;
  EXPECT_EQ(result->shape, c.shape) << where << " got " << shape_text(result->shape);
  EXPECT_EQ(result->format, c.format) << where;
}

constexpr Format R = Format::kRagged;
constexpr Format B = Format::kBatched;
constexpr Format P = Format::kPaged;
constexpr Side I = Side::kIndexer;
constexpr Side C = Side::kCache;

TEST(OpTable, HasOneRowAnOpInOrder) {
  ASSERT_EQ(op_table().size(), static_cast<size_t>(kOpCount));
  for (int i = 0; i < kOpCount; ++i) { EXPECT_EQ(static_cast<int>(op_table()[static_cast<size_t>(i)].op), i); }
}

TEST(OpTable, NamesOfTheCacheSideAreThoseOfVortexTorch) {
  const std::set<std::string_view> expected = {"Mean",
                                               "Max",
                                               "Min",
                                               "L2Norm",
                                               "MeanInterleave",
                                               "MaxInterleave",
                                               "MinInterleave",
                                               "GeMM",
                                               "Multiply",
                                               "Add",
                                               "Maximum",
                                               "Minimum",
                                               "WhereEqual",
                                               "Relu",
                                               "WhereNotEqual",
                                               "WhereGreater",
                                               "WhereGreaterEqual",
                                               "WhereLess",
                                               "WhereLessEqual",
                                               "Sigmoid",
                                               "Silu",
                                               "Add_Mul",
                                               "Abs",
                                               "Log",
                                               "Exp",
                                               "Fill",
                                               "MaskSlice",
                                               "Reshape",
                                               "L2NormInterleave"};
  std::set<std::string_view> names;
  for (const OpInfo& info : op_table()) {
    if (info.on_cache && !info.name.empty()) { names.insert(info.name); }
  }
  EXPECT_EQ(names, expected);
}

TEST(OpTable, FindsByNameAndSide) {
  ASSERT_NE(find_op("GeMM", I), nullptr);
  EXPECT_EQ(find_op("GeMM", I)->op, Op::kGemm);
  EXPECT_EQ(find_op("Sum", C), nullptr);
  EXPECT_EQ(find_op("Fill", I), nullptr);
  EXPECT_EQ(find_op("", C), nullptr);
  EXPECT_EQ(find_op("TopK", I)->op, Op::kTopKTable);
  EXPECT_EQ(find_op("topK", I)->op, Op::kTopK);
}

TEST(OpTable, DefaultsAreThoseOfTheConstructors) {
  EXPECT_EQ(default_attrs(Op::kMean).dim, 1);
  EXPECT_EQ(default_attrs(Op::kAdd).alpha, 1);
  EXPECT_EQ(default_attrs(Op::kSigmoid).beta, 0);
  EXPECT_EQ(default_attrs(Op::kExp).beta, 1);
  EXPECT_EQ(default_attrs(Op::kSoftmax).scale, 1);
  EXPECT_EQ(default_attrs(Op::kMeanInterleave).k, 2);
  EXPECT_EQ(default_attrs(Op::kMaskSlice).alpha, 1);
  EXPECT_EQ(default_attrs(Op::kKron).kron_axes, 3U);
}

// The parts that tell/formula.cpp can fill in.
TEST(OpTable, ExpressionsNameOnlyPartsThatThereAre) {
  const std::set<std::string_view> parts = {"x",    "y",    "(x)",       "(y)",   "all",     "affine", "scaled",
                                            "sum",  "axis", "axis by k", "shape", "field",   "recall", "alpha",
                                            "beta", "k",    "start",     "end",   "constant"};
  for (const OpInfo& info : op_table()) {
    std::string_view text = info.expression;
    for (size_t open = text.find('{'); open != std::string_view::npos; open = text.find('{')) {
      const size_t close = text.find('}', open);
      ASSERT_NE(close, std::string_view::npos) << info.expression;
      EXPECT_TRUE(parts.contains(text.substr(open + 1, close - open - 1))) << info.expression;
      text.remove_prefix(close + 1);
    }
  }
}

TEST(OpTable, KnowsWhatSelectsAndWhatWrites) {
  std::set<Op> selecting;
  std::set<Op> writing;
  std::set<Op> ending;
  for (const OpInfo& info : op_table()) {
    if (chooses_pages(info.op)) { selecting.insert(info.op); }
    if (writes_field(info.op)) { writing.insert(info.op); }
    if (is_terminal(info.op)) { ending.insert(info.op); }
  }
  EXPECT_EQ(selecting, (std::set<Op>{Op::kTopK, Op::kApproxTopK, Op::kTopKTable, Op::kUnion}));
  EXPECT_EQ(writing, (std::set<Op>{Op::kSave, Op::kStore, Op::kFill}));
  EXPECT_EQ(ending, (std::set<Op>{Op::kTopK, Op::kApproxTopK, Op::kUnion}));
  EXPECT_TRUE(takes(op_info(Op::kConv1d), Arg::kWeight));
  EXPECT_FALSE(takes(op_info(Op::kSoftmax), Arg::kWeight));
}

TEST(OpTable, KnowsWhatKeepsTheOrderOfScores) {
  const auto keeps = [](Op op, double beta, bool y_fixed = false) {
    Attrs attrs = default_attrs(op);
    attrs.beta = beta;
    return op_info(op).keeps_order != nullptr && op_info(op).keeps_order(attrs, false, y_fixed);
  };
  EXPECT_TRUE(keeps(Op::kSigmoid, -1));
  EXPECT_FALSE(keeps(Op::kSigmoid, 1));
  EXPECT_TRUE(keeps(Op::kExp, 1));
  EXPECT_FALSE(keeps(Op::kExp, -1));
  EXPECT_TRUE(keeps(Op::kAdd, 1, true));
  EXPECT_FALSE(keeps(Op::kAdd, 1, false));
  EXPECT_TRUE(keeps(Op::kNormalize, 0));
  EXPECT_FALSE(keeps(Op::kAbs, 1));
}

TEST(OpTable, EveryArgumentIsReadBackAsSet) {
  for (const OpInfo& info : op_table()) {
    for (const ArgInfo& arg : info.args) {
      Attrs attrs;
      set_arg(attrs, arg.arg, 3);
      const double read = get_arg(attrs, arg.arg);
      EXPECT_TRUE(read == 3 || read == 0) << info.name << " " << arg.name;
    }
  }
}

TEST(Infer, Products) {
  const Attrs none;
  const std::vector<Case> cases = {
      {I, Op::kGemm, none, {batched(2, 64), paged(1, 64)}, {}, {1, 2}, R, ""},
      {I, Op::kGemm, none, {batched(2, 64), batched(2, 64)}, {}, {2, 2}, B, ""},
      {I, Op::kGemm, none, {batched(2, 64), parameter(3, 64)}, {}, {3, 2}, B, ""},
      {I, Op::kGemm, none, {paged(1, 64), parameter(3, 64)}, {}, {0, 0}, R, "must be BATCHED"},
      {I, Op::kGemm, none, {batched(2, 64), paged(1, 16)}, {}, {0, 0}, R, "[2, 64] (BATCHED), y is [1, 16] (PAGED)"},
      {I, Op::kGemm, none, {parameter(3, 64), batched(2, 64)}, {}, {0, 0}, R, "second operand"},
      {C, Op::kGemm, none, {paged(16, 64), paged(16, 64)}, {}, {16, 16}, R, ""},
      {I, Op::kGemv, none, {batched(1, 64), paged(1, 64)}, {}, {1, 1}, R, ""},
      {I, Op::kGemv, none, {batched(2, 64), paged(1, 64)}, {}, {0, 0}, R, "two [1, k]"},
      {C, Op::kGemv, none, {paged(1, 64), paged(1, 64)}, {}, {0, 0}, R, "only on the indexer"},
      {I, Op::kKron, kron(3), {batched(2, 3), ragged(4, 5)}, {}, {8, 15}, R, ""},
      {I, Op::kKron, kron(1), {batched(2, 64), ragged(4, 64)}, {}, {8, 64}, R, ""},
      {I, Op::kKron, kron(2), {batched(2, 3), ragged(1, 5)}, {}, {2, 15}, R, ""},
      {I, Op::kKron, kron(1), {batched(2, 64), ragged(4, 32)}, {}, {0, 0}, R, "broadcast"},
      {I, Op::kKron, kron(0), {batched(2, 64), ragged(4, 64)}, {}, {0, 0}, R, "dim must be"},
      {I, Op::kKron, kron(3), {ragged(4096, 64), ragged(16, 64)}, {}, {0, 0}, R, "elements"},
      {I, Op::kKron, kron(3), {ragged(1 << 20, 1), ragged(1 << 20, 1)}, {}, {0, 0}, R, "elements"},
  };
  for (const Case& c : cases) { check(c); }
}

TEST(Infer, Reductions) {
  const std::vector<Case> cases = {
      {I, Op::kMean, with_dim(1), {batched(2, 64)}, {}, {1, 64}, B, ""},
      {I, Op::kMax, with_dim(2), {paged(16, 64)}, {}, {16, 1}, R, ""},
      {I, Op::kSum, with_dim(0), {ragged(1, 4)}, {}, {1, 4}, B, ""},
      {I, Op::kSum, with_dim(0), {paged(1, 4)}, {}, {0, 0}, R, "RAGGED"},
      {I, Op::kSum, with_dim(0), {batched(1, 4)}, {}, {0, 0}, R, "RAGGED"},
      {I, Op::kMin, with_dim(3), {ragged(1, 4)}, {}, {0, 0}, R, "0, 1 or 2"},
      {C, Op::kL2Norm, with_dim(2), {paged(16, 64)}, {}, {16, 1}, R, ""},
      {C, Op::kMean, with_dim(0), {paged(16, 64)}, {}, {0, 0}, R, "1 or 2 on the cache side"},
      {C, Op::kSum, with_dim(1), {paged(16, 64)}, {}, {0, 0}, R, "only on the indexer"},
      {C, Op::kMeanInterleave, interleave(1, 4), {paged(16, 64)}, {}, {4, 64}, R, ""},
      {C, Op::kMaxInterleave, interleave(2, 16), {paged(16, 64)}, {}, {16, 4}, R, ""},
      {C, Op::kMinInterleave, interleave(1, 3), {paged(16, 64)}, {}, {0, 0}, R, "divide size 16"},
      {C, Op::kL2NormInterleave, interleave(1, 0), {paged(16, 64)}, {}, {0, 0}, R, "at least 1"},
      {I, Op::kMeanInterleave, interleave(1, 4), {paged(16, 64)}, {}, {0, 0}, R, "only on the cache"},
  };
  for (const Case& c : cases) { check(c); }
}

TEST(Infer, AcrossPages) {
  const Attrs none;
  const std::vector<Case> cases = {
      {I, Op::kSoftmax, none, {ragged(1, 2)}, {}, {1, 2}, R, ""},
      {I, Op::kSoftmax, with_dim(1), {ragged(1, 2)}, {}, {0, 0}, R, "dim must be 0"},
      {I, Op::kNormalize, none, {paged(1, 2)}, {}, {0, 0}, R, "takes a RAGGED"},
      {I, Op::kConv1d, of_constant(0), {ragged(1, 1)}, {}, {1, 1}, R, ""},
      {I, Op::kConv1d, of_constant(0), {ragged(1, 2)}, {}, {0, 0}, R, "[3, 1, 1], x is [1, 2]"},
      {I, Op::kTopK, none, {ragged(1, 1)}, {}, {1, 1}, R, ""},
      {I, Op::kTopK, none, {batched(1, 1)}, {}, {0, 0}, R, "one score a page"},
      {I, Op::kTopK, none, {ragged(1, 2)}, {}, {0, 0}, R, "[1, 2]"},
      {I, Op::kApproxTopK, tolerance(0.5), {ragged(1, 1)}, {}, {1, 1}, R, ""},
      {I, Op::kApproxTopK, tolerance(1.5), {ragged(1, 1)}, {}, {0, 0}, R, "in [0, 1]"},
      {I, Op::kTopKTable, interleave(0, 8), {ragged(1, 1)}, {}, {1, 1}, R, ""},
      {I, Op::kTopKTable, none, {ragged(1, 1)}, {}, {0, 0}, R, "at least 1"},
      {I, Op::kUnion, none, {table(), table()}, {}, {1, 1}, R, ""},
      {I, Op::kUnion, none, {table(), ragged(1, 1)}, {}, {0, 0}, R, "results of TopK"},
      {I, Op::kTopK, none, {table()}, {}, {0, 0}, R, "only be given to Union"},
  };
  for (const Case& c : cases) { check(c); }
}

TEST(Infer, ElementwiseAndLayout) {
  const Attrs none;
  Attrs infinite;
  infinite.alpha = 1e300 * 1e300;
  const std::vector<Case> cases = {
      {I, Op::kAdd, none, {batched(1, 64), paged(16, 1)}, {}, {16, 64}, R, ""},
      {I, Op::kAdd, none, {batched(1, 64), batched(2, 1)}, {}, {2, 64}, B, ""},
      {C, Op::kMultiply, none, {paged(16, 64), ragged(16, 1)}, {}, {16, 64}, R, ""},
      {I, Op::kMaximum, none, {ragged(2, 64), paged(3, 64)}, {}, {0, 0}, R, "sizes 2 and 3 along dim 1"},
      {I, Op::kWhereLess, none, {ragged(2, 64), paged(1, 1)}, {}, {2, 64}, R, ""},
      {I, Op::kAdd, none, {ragged(1, 1), parameter(1, 1)}, {}, {0, 0}, R, "Parameter"},
      {I, Op::kAdd, infinite, {ragged(1, 1), ragged(1, 1)}, {}, {0, 0}, R, "finite"},
      {I, Op::kAdd, none, {ragged(1, 1)}, {}, {0, 0}, R, "takes 2 tensors, got 1"},
      {C, Op::kExp, none, {paged(1, 64)}, {}, {1, 64}, R, ""},
      {I, Op::kRelu, none, {batched(2, 64)}, {}, {2, 64}, B, ""},
      {I, Op::kTranspose, none, {paged(16, 64)}, {}, {64, 16}, R, ""},
      {I, Op::kReshape, none, {batched(2, 64)}, {1, 128}, {1, 128}, B, ""},
      {I, Op::kReshape, none, {batched(2, 64)}, {3, 64}, {0, 0}, B, "128 elements are not 192"},
      {C, Op::kMaskSlice, mask(0, 8, 2), {paged(1, 64)}, {}, {1, 64}, R, ""},
      {I, Op::kMaskSlice, mask(0, 65, 2), {paged(1, 64)}, {}, {0, 0}, R, "end = 65"},
      {I, Op::kMaskSlice, mask(0, 1, 0), {paged(1, 64)}, {}, {0, 0}, R, "dim must be 1 or 2"},
  };
  for (const Case& c : cases) { check(c); }
}

TEST(Infer, Fields) {
  const std::vector<Case> cases = {
      {C, Op::kField, of_field(1), {}, {}, {kBlock, kHeadDim}, P, ""},
      {I, Op::kLoad, of_field(0), {}, {}, {1, kHeadDim}, R, ""},
      {I, Op::kSave, of_field(0), {ragged(1, 64)}, {}, {1, 64}, P, ""},
      {I, Op::kSave, of_field(0), {batched(1, 64)}, {}, {0, 0}, P, "RAGGED"},
      {I, Op::kSave, of_field(1), {ragged(16, 64)}, {}, {0, 0}, P, "belongs to the engine"},
      {C, Op::kStore, of_field(0), {ragged(1, 64)}, {}, {1, 64}, P, ""},
      {C, Op::kStore, of_field(0), {ragged(2, 64)}, {}, {0, 0}, P, "\"centroid\" is [1, 64], the value is [2, 64]"},
      {C, Op::kFill, of_field(0), {}, {}, {1, 64}, P, ""},
      {I, Op::kQuery, {}, {}, {}, {kGroup, kHeadDim}, B, ""},
      {C, Op::kQuery, {}, {}, {}, {0, 0}, B, "only on the indexer"},
      {I, Op::kParameter, of_constant(1), {}, {}, {2, kHeadDim}, Format::kParameter, ""},
  };
  for (const Case& c : cases) { check(c); }
}

TEST(Infer, AppendNodeRefusesWithoutAChange) {
  Program program = base_program();
  const Result<int> query = append_node(program, I, Op::kQuery, {});
  ASSERT_TRUE(query.ok());
  EXPECT_FALSE(append_node(program, I, Op::kTopK, {*query}).ok());
  EXPECT_EQ(program.indexer.nodes.size(), 1U);
}

TEST(Infer, ReachKnowsTheExceptions) {
  Program program = base_program();
  const int query = append_node(program, I, Op::kQuery, {}).value();
  const int weights = append_node(program, I, Op::kParameter, {}, of_constant(1)).value();
  const int learned = append_node(program, I, Op::kGemm, {query, weights}).value();
  const int load = append_node(program, I, Op::kLoad, {}, of_field(0)).value();
  const int plain = append_node(program, I, Op::kGemm, {query, load}).value();
  const int over_pages = append_node(program, I, Op::kMean, {plain}, with_dim(0)).value();
  const int odd = append_node(program, I, Op::kReshape, {load}, {}, {1, 64}).value();
  const auto reach = [&](int node) {
    return node_reach(program.indexer, program.indexer.nodes[static_cast<size_t>(node)]);
  };
  EXPECT_EQ(reach(learned), Reach::kRow);
  EXPECT_EQ(reach(plain), Reach::kPage);
  EXPECT_EQ(reach(over_pages), Reach::kRow);
  EXPECT_EQ(reach(odd), Reach::kPage);
  EXPECT_EQ(reach(query), Reach::kLeaf);
}

}  // namespace
}  // namespace vortex::vflow
