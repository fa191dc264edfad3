#include <algorithm>
#include <array>
#include <cmath>

#include "core/vflow/graph/op_table.h"

namespace vortex::vflow {
namespace {

constexpr ArgInfo kReduceArgs[] = {{Arg::kDim, "dim", 1}};
constexpr ArgInfo kInterleaveArgs[] = {{Arg::kDim, "dim", 1}, {Arg::kInterleave, "k", 2}};
constexpr ArgInfo kOverPagesArgs[] = {{Arg::kDim, "dim", 0}};
constexpr ArgInfo kBinaryArgs[] = {{Arg::kAlpha, "alpha", 1}, {Arg::kBeta, "beta", 1}};
constexpr ArgInfo kGateArgs[] = {{Arg::kAlpha, "alpha", 0}, {Arg::kBeta, "beta", 0}};
constexpr ArgInfo kAffineArgs[] = {{Arg::kAlpha, "alpha", 0}, {Arg::kBeta, "beta", 1}};
constexpr ArgInfo kParameterArgs[] = {{Arg::kValue, "value", {}}, {Arg::kLayerLookup, "layer_lookup", 0}};
constexpr ArgInfo kKronArgs[] = {{Arg::kKronAxes, "dim", {}}};
constexpr ArgInfo kSoftmaxArgs[] = {{Arg::kDim, "dim", 0}, {Arg::kScale, "scale", 1}};
constexpr ArgInfo kConvArgs[] = {
    {Arg::kWeight, "weight", {}}, {Arg::kDim, "dim", 0}, {Arg::kDtype, "dtype", 0}, {Arg::kDevice, "device", 0}};
constexpr ArgInfo kReshapeArgs[] = {{Arg::kLeading, "leading", {}}, {Arg::kRows, "rows", {}}, {Arg::kCols, "cols", {}}};
constexpr ArgInfo kMaskArgs[] = {{Arg::kStart, "start", {}},
                                 {Arg::kEnd, "end", {}},
                                 {Arg::kDim, "dim", {}},
                                 {Arg::kAlpha, "alpha", 1},
                                 {Arg::kBeta, "beta", 0}};
constexpr ArgInfo kFillArgs[] = {{Arg::kAlpha, "alpha", 0}};
constexpr ArgInfo kApproxArgs[] = {{Arg::kTolerance, "tolerate_ratio", 0}};
constexpr ArgInfo kTableArgs[] = {{Arg::kCount, "k", {}}};

constexpr double kAddFirst[] = {1, 1, 0.5, 0.75};
constexpr double kAddSecond[] = {1, -1, 0.5, 0.25};
constexpr double kThresholds[] = {0, 0, -1};
constexpr double kGateSlopes[] = {-1, -1, -0.5, -0.125};
constexpr double kGateShifts[] = {0, 0, 1};
constexpr double kSlopes[] = {1, -1, 0.5, 2};
constexpr double kShifts[] = {0, 0, 1, -0.5};
constexpr double kOne[] = {1};
constexpr double kTwo[] = {2};
constexpr double kExponents[] = {-2, 1, 2, 4};
constexpr double kExponentShifts[] = {0, 0, -1, 0.5};
constexpr double kTemperatures[] = {1, 0.09, 0.125, -0.5};

constexpr Draw kAddDraws[] = {{Arg::kAlpha, kAddFirst}, {Arg::kBeta, kAddSecond}};
constexpr Draw kReluDraws[] = {{Arg::kAlpha, kThresholds}, {Arg::kBeta, kThresholds}};
constexpr Draw kGateDraws[] = {{Arg::kBeta, kGateSlopes}, {Arg::kAlpha, kGateShifts}};
constexpr Draw kAffineDraws[] = {{Arg::kBeta, kSlopes}, {Arg::kAlpha, kShifts}};
constexpr Draw kLogDraws[] = {{Arg::kBeta, kOne, true}, {Arg::kAlpha, kTwo}};  // the logarithm of a positive number
constexpr Draw kExpDraws[] = {{Arg::kBeta, kExponents, true}, {Arg::kAlpha, kExponentShifts}};
constexpr Draw kSoftmaxDraws[] = {{Arg::kScale, kTemperatures}};

constexpr double kMostPages = 32767;
constexpr double kWhereFalse = -1e30;

Bounds symmetric(double magnitude) { return {-magnitude, magnitude}; }

// The image of x under x * factor + offset.
Bounds affine(Bounds x, double factor, double offset) {
  const double a = factor * x.low + offset;
  const double b = factor * x.high + offset;
  return {std::min(a, b), std::max(a, b)};
}
Bounds affine(const BoundsCall& c) { return affine(c.in[0], c.node.attrs.beta, c.node.attrs.alpha); }

Bounds input(const BoundsCall&) { return kInputRange; }
Bounds unit(const BoundsCall&) { return symmetric(1); }
Bounds probability(const BoundsCall&) { return {0, 1}; }
Bounds same(const BoundsCall& c) { return c.in[0]; }
Bounds magnitude(const BoundsCall& c) { return symmetric(c.in[0].magnitude()); }
Bounds with_zero(const BoundsCall& c) { return {std::min(c.in[0].low, 0.0), std::max(c.in[0].high, 0.0)}; }
Bounds where(const BoundsCall&) { return {kWhereFalse, 0}; }
Bounds product(const BoundsCall& c) { return symmetric(c.in[0].magnitude() * c.in[1].magnitude()); }
Bounds dot(const BoundsCall& c) { return symmetric(c.in[0].magnitude() * c.in[1].magnitude() * c.shapes[0].cols); }

// Elements that a reduction along a dimension joins.
double joined(const BoundsCall& c) {
  return c.node.attrs.dim == 0 ? kMostPages : c.node.attrs.dim == 1 ? c.shapes[0].rows : c.shapes[0].cols;
}
Bounds sum(const BoundsCall& c) {
  return {std::min(c.in[0].low * joined(c), 0.0), std::max(c.in[0].high * joined(c), 0.0)};
}
Bounds norm(const BoundsCall& c) { return {0, c.in[0].magnitude() * std::sqrt(joined(c))}; }
Bounds short_norm(const BoundsCall& c) { return {0, c.in[0].magnitude() * std::sqrt(c.node.attrs.k)}; }
Bounds filtered(const BoundsCall& c) {
  const Constant& filter = c.program.constants[static_cast<size_t>(c.node.attrs.constant)];
  return symmetric(c.in[0].magnitude() * filter.dims[0]);
}

Bounds add(const BoundsCall& c) {
  const Bounds x = affine(c.in[0], c.node.attrs.alpha, 0);
  const Bounds y = affine(c.in[1], c.node.attrs.beta, 0);
  return {x.low + y.low, x.high + y.high};
}
Bounds maximum(const BoundsCall& c) {
  return {std::max(c.in[0].low, c.in[1].low), std::max(c.in[0].high, c.in[1].high)};
}
Bounds minimum(const BoundsCall& c) {
  return {std::min(c.in[0].low, c.in[1].low), std::min(c.in[0].high, c.in[1].high)};
}

Bounds relu(const BoundsCall& c) {
  return {std::min(c.in[0].low, c.node.attrs.beta), std::max(c.in[0].high, c.node.attrs.beta)};
}
Bounds absolute(const BoundsCall& c) { return {0, affine(c).magnitude()}; }
Bounds logarithm(const BoundsCall& c) { return {std::log(affine(c).low), std::log(affine(c).high)}; }
Bounds exponential(const BoundsCall& c) { return {std::exp(affine(c).low), std::exp(affine(c).high)}; }
Bounds mask(const BoundsCall& c) {
  const Attrs& attrs = c.node.attrs;
  return {std::min(attrs.alpha, attrs.beta), std::max(attrs.alpha, attrs.beta)};
}

bool always(const Attrs&, bool, bool) { return true; }
bool if_rising(const Attrs& attrs, bool, bool) { return attrs.beta > 0; }
bool if_falling_exponent(const Attrs& attrs, bool, bool) { return attrs.beta < 0; }
bool if_scaled_up(const Attrs& attrs, bool, bool) { return attrs.scale > 0; }
bool if_other_is_fixed(const Attrs& attrs, bool x_fixed, bool y_fixed) {
  return (x_fixed && attrs.beta > 0) || (y_fixed && attrs.alpha > 0);
}

// What the rows of one kind have in common.
constexpr OpInfo leaf(OpInfo row) {
  row.reach = Reach::kLeaf;
  row.on_indexer = true;
  row.weight = 0;
  return row;
}
constexpr OpInfo reduction(OpInfo row) {
  row.kind = OpKind::kReduction;
  row.on_indexer = true;
  row.arity = 1;
  row.args = kReduceArgs;
  row.shape_rule =
      "dim 1: [a, b] -> [1, b]; dim 2: [a, b] -> [a, 1]; indexer also dim 0: RAGGED [a, b] -> BATCHED [a, b], over "
      "pages";
  return row;
}
constexpr OpInfo interleave(OpInfo row) {
  row.kind = OpKind::kInterleave;
  row.on_cache = true;
  row.arity = 1;
  row.args = kInterleaveArgs;
  row.shape_rule = "k divides the size along dim (1 or 2), which shrinks k times";
  return row;
}
constexpr OpInfo over_pages(OpInfo row) {
  row.kind = OpKind::kOverPages;
  row.on_indexer = true;
  row.reach = Reach::kRow;
  row.arity = 1;
  if (row.shape_rule.empty()) { row.shape_rule = "RAGGED [a, b] -> RAGGED [a, b], over pages"; }
  return row;
}
constexpr OpInfo binary(OpInfo row) {
  row.kind = OpKind::kBinary;
  row.on_cache = row.on_indexer = true;
  row.arity = 2;
  row.args = kBinaryArgs;
  row.shape_rule = "[a, b], [c, d] -> broadcast: sizes are equal or 1";
  return row;
}
constexpr OpInfo comparison(Op op, std::string_view name, bool commutative, std::string_view formula,
                            std::string_view expression, std::string_view cuda) {
  OpInfo row = binary({.op = op, .name = name, .commutative = commutative, .formula = formula});
  row.kind = OpKind::kWhere;
  row.args = {};
  row.expression = expression;
  row.cuda = cuda;
  row.bounds = where;
  return row;
}
constexpr OpInfo unary(OpInfo row) {
  row.kind = OpKind::kUnary;
  row.on_cache = row.on_indexer = true;
  row.arity = 1;
  row.uses_alpha_beta = true;
  row.shape_rule = "[a, b] -> [a, b]";
  return row;
}
constexpr OpInfo root(OpInfo row) {
  row.reach = Reach::kRoot;
  row.weight = 0;
  return row;
}
constexpr OpInfo selection(OpInfo row) {
  row.kind = OpKind::kSelection;
  row.on_indexer = true;
  row.weight = 0;
  return row;
}

// One row an Op, in the order of the enumeration.
constexpr std::array kRows = {
    leaf({.op = Op::kQuery,
          .formula = "the query heads of one kv head",
          .shape_rule = "BATCHED [group, head_dim]",
          .expression = "q",
          .bounds = input}),
    leaf({.op = Op::kField,
          .on_cache = true,
          .formula = "a field of the cache, or k, v (MLA: latent)",
          .shape_rule = "PAGED, the field's shape",
          .expression = "{field}",
          .bounds = input}),
    leaf({.op = Op::kParameter,
          .name = "Parameter",
          .args = kParameterArgs,
          .formula = "a constant matrix per layer; only as GeMM's y",
          .shape_rule = "value [L, N, K] or [N, K]",
          .expression = "W{constant}",
          .bounds = unit}),

    OpInfo{.op = Op::kGemm,
           .name = "GeMM",
           .kind = OpKind::kProduct,
           .on_cache = true,
           .on_indexer = true,
           .arity = 2,
           .formula = "y times x transposed: O[a,b] = sum_k y[a,k] x[b,k]",
           .shape_rule = "x [n, k], y [m, k] -> [m, n]; with y a Parameter x must be BATCHED",
           .expression = "dot({all})",
           .result = "dots",
           .bounds = dot,
           .flops = 2,
           .weight = 3,
           .tame_operands = true},
    OpInfo{.op = Op::kGemv,
           .name = "GeMV",
           .kind = OpKind::kProduct,
           .on_indexer = true,
           .arity = 2,
           .formula = "sum_k x[0,k] y[0,k]",
           .shape_rule = "[1, k], [1, k] -> [1, 1]",
           .expression = "dot({all})",
           .result = "dots",
           .bounds = dot,
           .flops = 2,
           .tame_operands = true},
    OpInfo{.op = Op::kKron,
           .name = "Kron",
           .kind = OpKind::kKron,
           .on_indexer = true,
           .arity = 2,
           .args = kKronArgs,
           .formula = "O[i*y1+j, k*y2+l] = x[i,k] y[j,l]; axes not in dim broadcast instead",
           .shape_rule = "dim 1, 2 or (1, 2), the default: sizes multiply along dim",
           .expression = "kron({all})",
           .bounds = product,
           .tame_operands = true},

    reduction({.op = Op::kMean,
               .name = "Mean",
               .on_cache = true,
               .formula = "mean along dim, size kept as 1",
               .expression = "mean{axis}({all})",
               .cuda = "Mean",
               .bounds = with_zero,
               .weight = 3}),
    reduction({.op = Op::kMax,
               .name = "Max",
               .on_cache = true,
               .formula = "maximum along dim",
               .expression = "max{axis}({all})",
               .cuda = "Max",
               .bounds = with_zero,
               .weight = 3}),
    reduction({.op = Op::kMin,
               .name = "Min",
               .on_cache = true,
               .formula = "minimum along dim",
               .expression = "min{axis}({all})",
               .cuda = "Min",
               .bounds = with_zero}),
    reduction({.op = Op::kSum,
               .name = "Sum",
               .formula = "sum along dim",
               .expression = "sum{axis}({all})",
               .cuda = "Sum",
               .bounds = sum,
               .tame_operands = true}),
    reduction({.op = Op::kL2Norm,
               .name = "L2Norm",
               .on_cache = true,
               .formula = "sqrt(sum x^2) along dim",
               .expression = "l2norm{axis}({all})",
               .cuda = "L2Norm",
               .bounds = norm,
               .tame_operands = true}),
    interleave({.op = Op::kMeanInterleave,
                .name = "MeanInterleave",
                .formula = "mean of every k consecutive elements along dim",
                .expression = "mean{axis by k}({all})",
                .cuda = "Mean",
                .bounds = same}),
    interleave({.op = Op::kMaxInterleave,
                .name = "MaxInterleave",
                .formula = "maximum of every k consecutive elements along dim",
                .expression = "max{axis by k}({all})",
                .cuda = "Max",
                .bounds = same}),
    interleave({.op = Op::kMinInterleave,
                .name = "MinInterleave",
                .formula = "minimum of every k consecutive elements along dim",
                .expression = "min{axis by k}({all})",
                .cuda = "Min",
                .bounds = same}),
    interleave({.op = Op::kL2NormInterleave,
                .name = "L2NormInterleave",
                .formula = "sqrt(sum x^2) of every k consecutive elements along dim",
                .expression = "l2norm{axis by k}({all})",
                .cuda = "L2Norm",
                .bounds = short_norm,
                .tame_operands = true}),

    over_pages({.op = Op::kSoftmax,
                .name = "Softmax",
                .args = kSoftmaxArgs,
                .formula = "softmax of scale*x over the middle pages",
                .expression = "softmax[pages]({scaled})",
                .cuda = "softmax_pages",
                .bounds = probability,
                .keeps_order = if_scaled_up,
                .special = 2,
                .draws = kSoftmaxDraws}),
    over_pages({.op = Op::kNormalize,
                .name = "Normalize",
                .args = kOverPagesArgs,
                .formula = "x / max(sqrt(sum x^2), 1e-12) over the middle pages",
                .expression = "normalize[pages]({all})",
                .cuda = "normalize_pages",
                .bounds = unit,
                .keeps_order = always,
                .tame_operands = true,
                .special = 1}),
    over_pages({.op = Op::kConv1d,
                .name = "Conv1d",
                .args = kConvArgs,
                .formula = "causal over the middle pages: y[p] = sum_t weight[t] x[p-t], zeros before the first",
                .shape_rule = "weight is a list [K][a][b]; RAGGED [a, b] -> RAGGED [a, b]",
                .expression = "conv1d[pages]({all})",
                .cuda = "conv_pages",
                .bounds = filtered,
                .flops = 4,
                .tells_pages_apart = true}),  // by the zero padding before the first ones

    binary({.op = Op::kMultiply,
            .name = "Multiply",
            .commutative = true,
            .formula = "x * y",
            .expression = "{(x)} * {(y)}",
            .result = "product",
            .cuda = "multiply",
            .bounds = product,
            .weight = 3,
            .tame_operands = true}),
    binary({.op = Op::kAdd,
            .name = "Add",
            .commutative = true,
            .uses_alpha_beta = true,
            .formula = "alpha*x + beta*y",
            .expression = "{sum}",
            .result = "total",
            .cuda = "add",
            .bounds = add,
            .keeps_order = if_other_is_fixed,
            .weight = 3,
            .draws = kAddDraws}),
    binary({.op = Op::kMaximum,
            .name = "Maximum",
            .commutative = true,
            .formula = "max(x, y)",
            .expression = "max({all})",
            .result = "larger",
            .cuda = "maximum",
            .bounds = maximum}),
    binary({.op = Op::kMinimum,
            .name = "Minimum",
            .commutative = true,
            .formula = "min(x, y)",
            .expression = "min({all})",
            .result = "smaller",
            .cuda = "minimum",
            .bounds = minimum}),
    comparison(Op::kWhereEqual, "WhereEqual", true, "0 if x == y else -1e30", "whereequal({all})", "where_equal"),
    comparison(Op::kWhereNotEqual, "WhereNotEqual", true, "0 if x != y else -1e30", "wherenotequal({all})",
               "where_not_equal"),
    comparison(Op::kWhereGreater, "WhereGreater", false, "0 if x > y else -1e30", "wheregreater({all})",
               "where_greater"),
    comparison(Op::kWhereGreaterEqual, "WhereGreaterEqual", false, "0 if x >= y else -1e30", "wheregreaterequal({all})",
               "where_greater_equal"),
    comparison(Op::kWhereLess, "WhereLess", false, "0 if x < y else -1e30", "whereless({all})", "where_less"),
    comparison(Op::kWhereLessEqual, "WhereLessEqual", false, "0 if x <= y else -1e30", "wherelessequal({all})",
               "where_less_equal"),

    unary({.op = Op::kRelu,
           .name = "Relu",
           .args = kGateArgs,
           .formula = "x if x >= alpha else beta",
           .expression = "({x} if >= {alpha} else {beta})",
           .cuda = "relu",
           .bounds = relu,
           .draws = kReluDraws}),
    unary({.op = Op::kSigmoid,
           .name = "Sigmoid",
           .args = kGateArgs,
           .formula = "1 / (1 + exp(beta*x + alpha)); the logistic function needs beta=-1",
           .expression = "1/(1 + exp({affine}))",
           .cuda = "sigmoid",
           .bounds = probability,
           .keeps_order = if_falling_exponent,
           .special = 2,
           .degenerate = {"is a constant", "the logistic function is Sigmoid(beta=-1.0)"},
           .draws = kGateDraws}),
    unary({.op = Op::kSilu,
           .name = "Silu",
           .args = kGateArgs,
           .formula = "x / (1 + exp(beta*x + alpha)); SiLU needs beta=-1",
           .expression = "{(x)}/(1 + exp({affine}))",
           .cuda = "silu",
           .bounds = magnitude,
           .special = 2,
           .degenerate = {"only scales by a constant", "the usual function is Silu(beta=-1.0)"},
           .draws = kGateDraws}),
    unary({.op = Op::kAddMul,
           .name = "Add_Mul",
           .args = kAffineArgs,
           .formula = "beta*x + alpha",
           .expression = "({affine})",
           .cuda = "add_mul",
           .bounds = affine,
           .keeps_order = if_rising,
           .draws = kAffineDraws}),
    unary({.op = Op::kAbs,
           .name = "Abs",
           .args = kAffineArgs,
           .formula = "abs(beta*x + alpha)",
           .expression = "abs({affine})",
           .cuda = "absolute",
           .bounds = absolute,
           .draws = kAffineDraws}),
    unary({.op = Op::kLog,
           .name = "Log",
           .args = kAffineArgs,
           .formula = "ln(beta*x + alpha), unguarded",
           .expression = "log({affine})",
           .cuda = "log",
           .bounds = logarithm,
           .tame_operands = true,
           .special = 1,
           .draws = kLogDraws}),
    unary({.op = Op::kExp,
           .name = "Exp",
           .args = kAffineArgs,
           .formula = "exp(beta*x + alpha)",
           .expression = "exp({affine})",
           .cuda = "exp",
           .bounds = exponential,
           .keeps_order = if_rising,
           .tame_operands = true,
           .special = 1,
           .draws = kExpDraws}),

    OpInfo{.op = Op::kTranspose,
           .name = "Transpose",
           .kind = OpKind::kLayout,
           .on_indexer = true,
           .arity = 1,
           .formula = "rows and columns exchanged",
           .shape_rule = "[a, b] -> [b, a]",
           .expression = "transpose({all})",
           .bounds = same,
           .flops = 0},
    OpInfo{.op = Op::kReshape,
           .name = "Reshape",
           .kind = OpKind::kLayout,
           .on_cache = true,
           .on_indexer = true,
           .arity = 1,
           .args = kReshapeArgs,
           .formula = "the same elements in row-major order; the first argument is -1",
           .shape_rule = "[a, b] -> [rows, cols], a*b == rows*cols",
           .expression = "reshape{shape}({all})",
           .bounds = same,
           .flops = 0},
    OpInfo{.op = Op::kMaskSlice,
           .name = "MaskSlice",
           .kind = OpKind::kLayout,
           .on_cache = true,
           .on_indexer = true,
           .arity = 1,
           .uses_alpha_beta = true,
           .args = kMaskArgs,
           .formula = "alpha where start <= position along dim < end, else beta; x gives only the shape",
           .shape_rule = "[a, b] -> [a, b]; dim 1 or 2; 0 <= start <= end <= size along dim",
           .expression = "mask{axis}({alpha} in {start}..{end}, else {beta})",
           .bounds = mask},

    OpInfo{.op = Op::kLoad,
           .name = "Load",
           .kind = OpKind::kStorage,
           .on_indexer = true,
           .formula = "a field's value from before this step's Save",
           .shape_rule = "PAGED field -> RAGGED",
           .expression = "{field}",
           .result = "loaded",
           .bounds = input,
           .weight = 0},
    root({.op = Op::kSave,
          .name = "Save",
          .kind = OpKind::kStorage,
          .on_indexer = true,
          .arity = 1,
          .formula = "field <- x at the end of the step; needs disable_radix_cache: true",
          .shape_rule = "RAGGED x of the field's shape",
          .expression = "{field} <- {x}",
          .bounds = same,
          .flops = 0}),
    root({.op = Op::kStore,
          .kind = OpKind::kStorage,
          .on_cache = true,
          .arity = 1,
          .formula = "field <- x when the page is full",
          .shape_rule = "x of the field's shape",
          .expression = "{field} = {x}",
          .bounds = same}),
    root({.op = Op::kFill,
          .name = "Fill",
          .kind = OpKind::kStorage,
          .on_cache = true,
          .uses_alpha_beta = true,
          .args = kFillArgs,
          .formula = "field <- alpha when the page is full",
          .shape_rule = "any field",
          .expression = "{field} = {alpha}",
          .bounds = input}),

    root(selection({.op = Op::kTopK,
                    .name = "topK",
                    .arity = 1,
                    .formula = "attend the pages of the largest scores",
                    .shape_rule = "RAGGED [1, 1]",
                    .expression = "select topK({all})",
                    .bounds = same})),
    root(selection({.op = Op::kApproxTopK,
                    .name = "approxTopK",
                    .arity = 1,
                    .args = kApproxArgs,
                    .formula = "topK whose recall may fall to 1 - tolerate_ratio",
                    .shape_rule = "RAGGED [1, 1]; tolerate_ratio in [0, 1]",
                    .expression = "select approxTopK({all}){recall}",
                    .bounds = same})),
    selection({.op = Op::kTopKTable,
               .name = "TopK",
               .reach = Reach::kRow,
               .arity = 1,
               .args = kTableArgs,
               .formula = "a (block table, lengths) pair of the k best pages, for Union",
               .shape_rule = "RAGGED [1, 1]; k >= 1",
               .expression = "top{k}({all})",
               .result = "topk_table_out",
               .bounds = same}),
    root(selection({.op = Op::kUnion,
                    .name = "Union",
                    .arity = 2,
                    .commutative = true,
                    .formula = "attend the pages of either TopK",
                    .shape_rule = "two TopK results",
                    .expression = "select Union({all})",
                    .bounds = maximum})),
};

static_assert(has_a_row_for_every_op(kRows), "an operation has no row here, or rows are not in the order of Op");

// The kinds that generated CUDA source calls by name.
constexpr bool is_called_in_cuda(OpKind kind) {
  return kind == OpKind::kReduction || kind == OpKind::kInterleave || kind == OpKind::kOverPages ||
         kind == OpKind::kBinary || kind == OpKind::kWhere || kind == OpKind::kUnary;
}
constexpr bool is_complete(const OpInfo& row) {
  return row.bounds != nullptr && !row.expression.empty() && !row.formula.empty() && !row.shape_rule.empty() &&
         row.cuda.empty() != is_called_in_cuda(row.kind) && (row.on_cache || row.on_indexer);
}
static_assert(std::all_of(kRows.begin(), kRows.end(), is_complete),
              "a row lacks bounds, texts, or its name in CUDA source");

}  // namespace

std::span<const OpInfo> op_table() { return kRows; }

}  // namespace vortex::vflow
