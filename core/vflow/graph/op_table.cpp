#include "core/vflow/graph/op_table.h"

#include <bit>
#include <unordered_map>

namespace vortex::vflow {
namespace {

const std::vector<ArgInfo> kNoArgs = {};
const std::vector<ArgInfo> kReduceArgs = {{Arg::kDim, "dim", 1}};
const std::vector<ArgInfo> kInterleaveArgs = {{Arg::kDim, "dim", 1}, {Arg::kInterleave, "k", 2}};
const std::vector<ArgInfo> kBinaryArgs = {{Arg::kAlpha, "alpha", 1}, {Arg::kBeta, "beta", 1}};
const std::vector<ArgInfo> kGateArgs = {{Arg::kAlpha, "alpha", 0}, {Arg::kBeta, "beta", 0}};
const std::vector<ArgInfo> kAffineArgs = {{Arg::kAlpha, "alpha", 0}, {Arg::kBeta, "beta", 1}};

constexpr std::string_view kSameShape = "[a, b] -> [a, b]";
constexpr std::string_view kBroadcast = "[a, b], [c, d] -> broadcast: sizes are equal or 1";
constexpr std::string_view kReduceRule =
    "dim 1: [a, b] -> [1, b]; dim 2: [a, b] -> [a, 1]; indexer also dim 0: RAGGED [a, b] -> BATCHED [a, b], over pages";
constexpr std::string_view kInterleaveRule = "k divides the size along dim (1 or 2), which shrinks k times";
constexpr std::string_view kRowRule = "RAGGED [a, b] -> RAGGED [a, b], over pages";

OpInfo leaf(Op op, bool on_cache, bool on_indexer, std::string_view formula, std::string_view shapes) {
  return {op, "", on_cache, on_indexer, Reach::kLeaf, 0, false, false, kNoArgs, formula, shapes};
}
OpInfo reduction(Op op, std::string_view name, bool on_cache, std::string_view formula) {
  return {op, name, on_cache, true, Reach::kPage, 1, false, false, kReduceArgs, formula, kReduceRule};
}
OpInfo interleave(Op op, std::string_view name, std::string_view formula) {
  return {op, name, true, false, Reach::kPage, 1, false, false, kInterleaveArgs, formula, kInterleaveRule};
}
OpInfo binary(Op op, std::string_view name, bool uses_alpha_beta, std::string_view formula) {
  return {op, name, true, true, Reach::kPage, 2, true, uses_alpha_beta, kBinaryArgs, formula, kBroadcast};
}
OpInfo where(Op op, std::string_view name, bool commutative, std::string_view formula) {
  return {op, name, true, true, Reach::kPage, 2, commutative, false, kNoArgs, formula, kBroadcast};
}
OpInfo unary(Op op, std::string_view name, const std::vector<ArgInfo>& args, std::string_view formula) {
  return {op, name, true, true, Reach::kPage, 1, false, true, args, formula, kSameShape};
}

// One row an Op, in the order of the enumeration.
std::vector<OpInfo> make_table() {
  using enum Op;
  using enum Reach;
  return {
      leaf(kQuery, false, true, "the query heads of one kv head", "BATCHED [group, head_dim]"),
      leaf(kField, true, true, "a field of the cache, or k, v (MLA: latent)", "PAGED, the field's shape"),
      {kParameter,
       "Parameter",
       false,
       true,
       kLeaf,
       0,
       false,
       false,
       {{Arg::kValue, "value", {}}, {Arg::kLayerLookup, "layer_lookup", 0}},
       "a constant matrix per layer; only as GeMM's y",
       "value [L, N, K] or [N, K]"},

      {kGemm, "GeMM", true, true, kPage, 2, false, false, kNoArgs, "y times x transposed: O[a,b] = sum_k y[a,k] x[b,k]",
       "x [n, k], y [m, k] -> [m, n]; with y a Parameter x must be BATCHED"},
      {kGemv, "GeMV", false, true, kPage, 2, false, false, kNoArgs, "sum_k x[0,k] y[0,k]", "[1, k], [1, k] -> [1, 1]"},
      {kKron,
       "Kron",
       false,
       true,
       kPage,
       2,
       false,
       false,
       {{Arg::kKronAxes, "dim", {}}},
       "O[i*y1+j, k*y2+l] = x[i,k] y[j,l]; axes not in dim broadcast instead",
       "dim 1, 2 or (1, 2), the default: sizes multiply along dim"},

      reduction(kMean, "Mean", true, "mean along dim, size kept as 1"),
      reduction(kMax, "Max", true, "maximum along dim"),
      reduction(kMin, "Min", true, "minimum along dim"),
      reduction(kSum, "Sum", false, "sum along dim"),
      reduction(kL2Norm, "L2Norm", true, "sqrt(sum x^2) along dim"),
      interleave(kMeanInterleave, "MeanInterleave", "mean of every k consecutive elements along dim"),
      interleave(kMaxInterleave, "MaxInterleave", "maximum of every k consecutive elements along dim"),
      interleave(kMinInterleave, "MinInterleave", "minimum of every k consecutive elements along dim"),
      interleave(kL2NormInterleave, "L2NormInterleave", "sqrt(sum x^2) of every k consecutive elements along dim"),

      {kSoftmax,
       "Softmax",
       false,
       true,
       kRow,
       1,
       false,
       false,
       {{Arg::kDim, "dim", 0}, {Arg::kScale, "scale", 1}},
       "softmax of scale*x over the middle pages",
       kRowRule},
      {kNormalize,
       "Normalize",
       false,
       true,
       kRow,
       1,
       false,
       false,
       {{Arg::kDim, "dim", 0}},
       "x / max(sqrt(sum x^2), 1e-12) over the middle pages",
       kRowRule},
      {kConv1d,
       "Conv1d",
       false,
       true,
       kRow,
       1,
       false,
       false,
       {{Arg::kWeight, "weight", {}}, {Arg::kDim, "dim", 0}, {Arg::kDtype, "dtype", 0}, {Arg::kDevice, "device", 0}},
       "causal over the middle pages: y[p] = sum_t weight[t] x[p-t], zeros before the first",
       "weight is a list [K][a][b]; RAGGED [a, b] -> RAGGED [a, b]"},

      binary(kMultiply, "Multiply", false, "x * y"),
      binary(kAdd, "Add", true, "alpha*x + beta*y"),
      binary(kMaximum, "Maximum", false, "max(x, y)"),
      binary(kMinimum, "Minimum", false, "min(x, y)"),
      where(kWhereEqual, "WhereEqual", true, "0 if x == y else -1e30"),
      where(kWhereNotEqual, "WhereNotEqual", true, "0 if x != y else -1e30"),
      where(kWhereGreater, "WhereGreater", false, "0 if x > y else -1e30"),
      where(kWhereGreaterEqual, "WhereGreaterEqual", false, "0 if x >= y else -1e30"),
      where(kWhereLess, "WhereLess", false, "0 if x < y else -1e30"),
      where(kWhereLessEqual, "WhereLessEqual", false, "0 if x <= y else -1e30"),

      unary(kRelu, "Relu", kGateArgs, "x if x >= alpha else beta"),
      unary(kSigmoid, "Sigmoid", kGateArgs, "1 / (1 + exp(beta*x + alpha)); the logistic function needs beta=-1"),
      unary(kSilu, "Silu", kGateArgs, "x / (1 + exp(beta*x + alpha)); SiLU needs beta=-1"),
      unary(kAddMul, "Add_Mul", kAffineArgs, "beta*x + alpha"),
      unary(kAbs, "Abs", kAffineArgs, "abs(beta*x + alpha)"),
      unary(kLog, "Log", kAffineArgs, "ln(beta*x + alpha), unguarded"),
      unary(kExp, "Exp", kAffineArgs, "exp(beta*x + alpha)"),

      {kTranspose, "Transpose", false, true, kPage, 1, false, false, kNoArgs, "rows and columns exchanged",
       "[a, b] -> [b, a]"},
      {kReshape,
       "Reshape",
       true,
       true,
       kPage,
       1,
       false,
       false,
       {{Arg::kLeading, "leading", {}}, {Arg::kRows, "rows", {}}, {Arg::kCols, "cols", {}}},
       "the same elements in row-major order; the first argument is -1",
       "[a, b] -> [rows, cols], a*b == rows*cols"},
      {kMaskSlice,
       "MaskSlice",
       true,
       true,
       kPage,
       1,
       false,
       true,
       {{Arg::kStart, "start", {}},
        {Arg::kEnd, "end", {}},
        {Arg::kDim, "dim", {}},
        {Arg::kAlpha, "alpha", 1},
        {Arg::kBeta, "beta", 0}},
       "alpha where start <= position along dim < end, else beta; x gives only the shape",
       "[a, b] -> [a, b]; dim 1 or 2; 0 <= start <= end <= size along dim"},

      {kLoad, "Load", false, true, kPage, 0, false, false, kNoArgs, "a field's value from before this step's Save",
       "PAGED field -> RAGGED"},
      {kSave, "Save", false, true, kRoot, 1, false, false, kNoArgs,
       "field <- x at the end of the step; needs disable_radix_cache: true", "RAGGED x of the field's shape"},
      {kStore, "", true, false, kRoot, 1, false, false, kNoArgs, "field <- x when the page is full",
       "x of the field's shape"},
      {kFill,
       "Fill",
       true,
       false,
       kRoot,
       0,
       false,
       true,
       {{Arg::kAlpha, "alpha", 0}},
       "field <- alpha when the page is full",
       "any field"},
      {kTopK, "topK", false, true, kRoot, 1, false, false, kNoArgs, "attend the pages of the largest scores",
       "RAGGED [1, 1]"},
      {kApproxTopK,
       "approxTopK",
       false,
       true,
       kRoot,
       1,
       false,
       false,
       {{Arg::kTolerance, "tolerate_ratio", 0}},
       "topK whose recall may fall to 1 - tolerate_ratio",
       "RAGGED [1, 1]; tolerate_ratio in [0, 1]"},
      {kTopKTable,
       "TopK",
       false,
       true,
       kRow,
       1,
       false,
       false,
       {{Arg::kCount, "k", {}}},
       "a (block table, lengths) pair of the k best pages, for Union",
       "RAGGED [1, 1]; k >= 1"},
      {kUnion, "Union", false, true, kRoot, 2, true, false, kNoArgs, "attend the pages of either TopK",
       "two TopK results"},
  };
}

bool is_page_reduction(const Node& node) {
  switch (node.op) {
    case Op::kMean:
    case Op::kMax:
    case Op::kMin:
    case Op::kSum:
    case Op::kL2Norm:
      return node.attrs.dim == 0;
    default:
      return false;
  }
}

bool powers_of_two(Shape shape) {
  return std::has_single_bit(static_cast<unsigned>(shape.rows)) &&
         std::has_single_bit(static_cast<unsigned>(shape.cols));
}

}  // namespace

std::span<const OpInfo> op_table() {
  static const std::vector<OpInfo> table = make_table();
  return table;
}

const OpInfo& op_info(Op op) { return op_table()[static_cast<size_t>(op)]; }

const OpInfo* find_op(std::string_view name, Side side) {
  if (name.empty()) return nullptr;
  for (const OpInfo& info : op_table()) {
    if (info.name == name && (side == Side::kCache ? info.on_cache : info.on_indexer)) return &info;
  }
  return nullptr;
}

Attrs default_attrs(Op op) {
  Attrs attrs;
  for (const ArgInfo& arg : op_info(op).args) {
    if (arg.default_value) set_arg(attrs, arg.arg, *arg.default_value);
  }
  if (op == Op::kKron) attrs.kron_axes = 3;
  return attrs;
}

void set_arg(Attrs& attrs, Arg arg, double value) {
  switch (arg) {
    case Arg::kDim:
      attrs.dim = static_cast<int>(value);
      break;
    case Arg::kAlpha:
      attrs.alpha = value;
      break;
    case Arg::kBeta:
      attrs.beta = value;
      break;
    case Arg::kScale:
      attrs.scale = value;
      break;
    case Arg::kTolerance:
      attrs.tolerance = value;
      break;
    case Arg::kInterleave:
    case Arg::kCount:
      attrs.k = static_cast<int>(value);
      break;
    case Arg::kStart:
      attrs.start = static_cast<int>(value);
      break;
    case Arg::kEnd:
      attrs.end = static_cast<int>(value);
      break;
    default:
      break;
  }
}

double get_arg(const Attrs& attrs, Arg arg) {
  switch (arg) {
    case Arg::kDim:
      return attrs.dim;
    case Arg::kAlpha:
      return attrs.alpha;
    case Arg::kBeta:
      return attrs.beta;
    case Arg::kScale:
      return attrs.scale;
    case Arg::kTolerance:
      return attrs.tolerance;
    case Arg::kInterleave:
    case Arg::kCount:
      return attrs.k;
    case Arg::kStart:
      return attrs.start;
    case Arg::kEnd:
      return attrs.end;
    default:
      return 0;
  }
}

bool arg_is_integer(Arg arg) {
  switch (arg) {
    case Arg::kDim:
    case Arg::kInterleave:
    case Arg::kCount:
    case Arg::kStart:
    case Arg::kEnd:
    case Arg::kLeading:
    case Arg::kRows:
    case Arg::kCols:
      return true;
    default:
      return false;
  }
}

Reach node_reach(const Graph& graph, const Node& node) {
  if (is_page_reduction(node)) return Reach::kRow;
  if (node.op == Op::kGemm && graph.nodes[static_cast<size_t>(node.inputs[1])].op == Op::kParameter) return Reach::kRow;
  if (node.op == Op::kReshape) {
    const Shape from = graph.nodes[static_cast<size_t>(node.inputs[0])].shape;
    return powers_of_two(from) && powers_of_two(node.shape) ? Reach::kPage : Reach::kRow;
  }
  return op_info(node.op).reach;
}

std::string shape_text(Shape shape) {
  return "[" + std::to_string(shape.rows) + ", " + std::to_string(shape.cols) + "]";
}

std::string_view format_name(Format format) {
  switch (format) {
    case Format::kBatched:
      return "BATCHED";
    case Format::kRagged:
      return "RAGGED";
    case Format::kPaged:
      return "PAGED";
    case Format::kParameter:
      return "PARAMETER";
  }
  return "";
}

}  // namespace vortex::vflow
