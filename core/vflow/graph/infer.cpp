#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "core/vflow/graph/op_table.h"

namespace vortex::vflow {
namespace {

// A single value this large is a mistake (a Kron of raw keys), not a score.
constexpr int64_t kMaxElements = int64_t{1} << 20;

struct Call {
  Side side;
  Op op;
  const Attrs& attrs;
  const std::vector<TypedValue>& in;
  const Program& program;
  Shape reshape_to;

  std::string name() const {
    if (op == Op::kStore) { return "output"; }
    return op_info(op).name.empty() ? "leaf" : std::string(op_info(op).name);
  }
  Error refuse(const std::string& message, std::string hint = {}) const {
    return candidate_error(name() + ": " + message, std::move(hint));
  }
};

std::string describe(const TypedValue& value) {
  return shape_text(value.shape) + " (" + std::string(format_name(value.format)) + ")";
}

// Side, operand count, operand kinds and finite attributes: what every operation needs.
Status check_common(const Call& call) {
  const OpInfo& info = op_info(call.op);
  if (!(call.side == Side::kCache ? info.on_cache : info.on_indexer)) {
    return call.refuse(call.side == Side::kCache ? "exists only on the indexer side" : "exists only on the cache side");
  }
  if (call.in.size() != static_cast<size_t>(info.arity)) {
    return call.refuse("takes " + std::to_string(info.arity) + " tensors, got " + std::to_string(call.in.size()));
  }
  for (size_t i = 0; i < call.in.size(); ++i) {
    if (call.in[i].table != (call.op == Op::kUnion)) {
      return call.refuse(call.op == Op::kUnion ? "both operands must be results of TopK(k)"
                                               : "a TopK(k) result can only be given to Union");
    }
    if (call.in[i].format == Format::kParameter && !(call.op == Op::kGemm && i == 1)) {
      return call.refuse("a Parameter can only be GeMM's second operand");
    }
  }
  for (const ArgInfo& arg : info.args) {
    if (!std::isfinite(get_arg(call.attrs, arg.arg))) {
      return call.refuse(std::string(arg.name) + " must be a finite number");
    }
  }
  return ok_status();
}

// BATCHED only if every operand is.
Format joined_format(const std::vector<TypedValue>& operands) {
  const bool batched =
      std::all_of(operands.begin(), operands.end(), [](const TypedValue& v) { return v.format == Format::kBatched; });
  return batched ? Format::kBatched : Format::kRagged;
}

Result<TypedValue> check_size(const Call& call, TypedValue value) {
  if (value.shape.size() > kMaxElements) {
    return call.refuse("the result " + shape_text(value.shape) + " has more than " + std::to_string(kMaxElements) +
                       " elements a page");
  }
  return value;
}

Result<int> broadcast_size(const Call& call, int a, int b, int dim) {
  if (a == b || b == 1) { return a; }
  if (a == 1) { return b; }
  return call.refuse("cannot broadcast x " + describe(call.in[0]) + " with y " + describe(call.in[1]) + ": sizes " +
                         std::to_string(a) + " and " + std::to_string(b) + " along dim " + std::to_string(dim),
                     "sizes along a dim must be equal, or one of them 1");
}

Result<TypedValue> infer_broadcast(const Call& call) {
  VORTEX_ASSIGN(const int rows, broadcast_size(call, call.in[0].shape.rows, call.in[1].shape.rows, 1));
  VORTEX_ASSIGN(const int cols, broadcast_size(call, call.in[0].shape.cols, call.in[1].shape.cols, 2));
  return check_size(call, {{rows, cols}, joined_format(call.in)});
}

Result<TypedValue> infer_gemm(const Call& call) {
  const TypedValue& x = call.in[0];
  const TypedValue& y = call.in[1];
  if (x.shape.cols != y.shape.cols) {
    return call.refuse("last sizes differ: x is " + describe(x) + ", y is " + describe(y),
                       "GeMM computes y times x transposed: x [n, k] and y [m, k] give [m, n]");
  }
  if (y.format == Format::kParameter) {
    if (x.format != Format::kBatched) {
      return call.refuse("with a Parameter as y, x must be BATCHED (computed from q alone), got " + describe(x));
    }
    return check_size(call, {{y.shape.rows, x.shape.rows}, Format::kBatched});
  }
  return check_size(call, {{y.shape.rows, x.shape.rows}, joined_format(call.in)});
}

Result<TypedValue> infer_gemv(const Call& call) {
  const TypedValue& x = call.in[0];
  const TypedValue& y = call.in[1];
  if (x.shape.rows != 1 || y.shape.rows != 1 || x.shape.cols != y.shape.cols) {
    return call.refuse("takes two [1, k] tensors, got x " + describe(x) + " and y " + describe(y),
                       "GeMM takes more than one row");
  }
  return TypedValue{{1, 1}, joined_format(call.in)};
}

// A Kron result is at most kMaxElements; sizes are multiplied in 64 bits because operands may be large already.
Result<TypedValue> infer_kron(const Call& call) {
  if (call.attrs.kron_axes < 1 || call.attrs.kron_axes > 3) { return call.refuse("dim must be 1, 2 or (1, 2)"); }
  const auto size = [&](int a, int b, int dim) -> Result<int64_t> {
    if ((call.attrs.kron_axes >> (dim - 1)) & 1U) { return static_cast<int64_t>(a) * b; }
    VORTEX_ASSIGN(const int both, broadcast_size(call, a, b, dim));
    return static_cast<int64_t>(both);
  };
  VORTEX_ASSIGN(const int64_t rows, size(call.in[0].shape.rows, call.in[1].shape.rows, 1));
  VORTEX_ASSIGN(const int64_t cols, size(call.in[0].shape.cols, call.in[1].shape.cols, 2));
  if (rows > kMaxElements || cols > kMaxElements || rows * cols > kMaxElements) {
    return call.refuse("the product of x " + describe(call.in[0]) + " and y " + describe(call.in[1]) +
                       " has more than " + std::to_string(kMaxElements) + " elements a page");
  }
  return TypedValue{{static_cast<int>(rows), static_cast<int>(cols)}, joined_format(call.in)};
}

Status need_ragged(const Call& call) {
  if (call.in[0].format == Format::kRagged) { return ok_status(); }
  const bool paged = call.in[0].format == Format::kPaged;
  return call.refuse("takes a RAGGED tensor (one value a page), got " + describe(call.in[0]),
                     paged ? "read the field through Load first" : "a value computed from q alone has no pages");
}

Result<TypedValue> infer_reduction(const Call& call) {
  const int dim = call.attrs.dim;
  const Shape shape = call.in[0].shape;
  if (dim == 1) { return TypedValue{{1, shape.cols}, joined_format(call.in)}; }
  if (dim == 2) { return TypedValue{{shape.rows, 1}, joined_format(call.in)}; }
  if (call.side == Side::kCache) {
    return call.refuse("dim must be 1 or 2 on the cache side, got " + std::to_string(dim));
  }
  if (dim != 0) { return call.refuse("dim must be 0, 1 or 2, got " + std::to_string(dim)); }
  VORTEX_TRY(need_ragged(call));
  return TypedValue{shape, Format::kBatched};
}

Result<TypedValue> infer_interleave(const Call& call) {
  const int dim = call.attrs.dim;
  const int k = call.attrs.k;
  if (dim != 1 && dim != 2) { return call.refuse("dim must be 1 or 2, got " + std::to_string(dim)); }
  Shape shape = call.in[0].shape;
  int& size = dim == 1 ? shape.rows : shape.cols;
  if (k < 1 || size % k != 0) {
    return call.refuse("k = " + std::to_string(k) + " must be at least 1 and divide size " + std::to_string(size) +
                       " along dim " + std::to_string(dim) + " of x " + describe(call.in[0]));
  }
  size /= k;
  return TypedValue{shape, Format::kRagged};
}

// A filter of Conv1d has the shape of what it filters.
Status check_weight(const Call& call) {
  const std::vector<int>& dims = call.program.constants[static_cast<size_t>(call.attrs.constant)].dims;
  const Shape x = call.in[0].shape;
  if (dims.size() == 3 && dims[0] >= 1 && dims[1] == x.rows && dims[2] == x.cols) { return ok_status(); }
  std::vector<std::string> sizes;
  for (int size : dims) { sizes.push_back(std::to_string(size)); }
  return call.refuse("weight has sizes [" + join(sizes, ", ") + "], x is " + describe(call.in[0]),
                     "weight is a list nested exactly 3 deep, [K][" + std::to_string(x.rows) + "][" +
                         std::to_string(x.cols) + "]: a plain filter over scores is [[[w0]], [[w1]], ...]");
}

Result<TypedValue> infer_over_pages(const Call& call) {
  if (call.attrs.dim != 0) { return call.refuse("dim must be 0 (over pages), got " + std::to_string(call.attrs.dim)); }
  VORTEX_TRY(need_ragged(call));
  if (takes(op_info(call.op), Arg::kWeight)) { VORTEX_TRY(check_weight(call)); }
  return TypedValue{call.in[0].shape, Format::kRagged};
}

Result<TypedValue> infer_reshape(const Call& call) {
  const Shape to = call.reshape_to;
  if (to.rows < 1 || to.cols < 1) { return call.refuse("sizes must be positive whole numbers, got " + shape_text(to)); }
  if (to.size() != call.in[0].shape.size()) {
    return call.refuse("cannot view x " + describe(call.in[0]) + " as " + shape_text(to) + ": " +
                       std::to_string(call.in[0].shape.size()) + " elements are not " + std::to_string(to.size()));
  }
  return TypedValue{to, joined_format(call.in)};
}

Result<TypedValue> infer_mask(const Call& call) {
  const Attrs& attrs = call.attrs;
  if (attrs.dim != 1 && attrs.dim != 2) { return call.refuse("dim must be 1 or 2, got " + std::to_string(attrs.dim)); }
  const Shape shape = call.in[0].shape;
  const int size = attrs.dim == 1 ? shape.rows : shape.cols;
  if (attrs.start < 0 || attrs.start > attrs.end || attrs.end > size) {
    return call.refuse("needs 0 <= start <= end <= " + std::to_string(size) + ", the size of x " +
                       describe(call.in[0]) + " along dim " + std::to_string(attrs.dim) +
                       "; got start = " + std::to_string(attrs.start) + ", end = " + std::to_string(attrs.end));
  }
  return TypedValue{shape, joined_format(call.in)};
}

// kField, kLoad, kSave, kStore, kFill.
Result<TypedValue> infer_field(const Call& call) {
  const Field& field = call.program.fields[static_cast<size_t>(call.attrs.field)];
  if (call.op == Op::kField) { return TypedValue{field.shape, Format::kPaged}; }
  if (call.op == Op::kLoad) { return TypedValue{field.shape, Format::kRagged}; }
  if (field.builtin) { return call.refuse("\"" + field.name + "\" belongs to the engine and cannot be written"); }
  if (call.op == Op::kFill) { return TypedValue{field.shape, Format::kPaged}; }
  if (call.in[0].format != Format::kRagged) {
    const std::string where = call.op == Op::kSave ? "a RAGGED tensor (one value a page)" : "an operation's result";
    return call.refuse("field \"" + field.name + "\" takes " + where + ", got " + describe(call.in[0]));
  }
  if (!(call.in[0].shape == field.shape)) {
    return call.refuse("field \"" + field.name + "\" is " + shape_text(field.shape) + ", the value is " +
                       describe(call.in[0]));
  }
  return TypedValue{field.shape, Format::kPaged};
}

Result<TypedValue> infer_parameter(const Call& call) {
  const std::vector<int>& dims = call.program.constants[static_cast<size_t>(call.attrs.constant)].dims;
  if (dims.size() != 3 || dims[0] < 1 || dims[1] < 1 || dims[2] < 1) {
    return call.refuse("value must have sizes [L, N, K] or [N, K]");
  }
  return TypedValue{{dims[1], dims[2]}, Format::kParameter};
}

Result<TypedValue> infer_selection(const Call& call) {
  if (call.op == Op::kUnion) { return TypedValue{{1, 1}, Format::kRagged}; }
  const TypedValue& x = call.in[0];
  if (x.format != Format::kRagged || !(x.shape == Shape{1, 1})) {
    return call.refuse("takes one score a page, RAGGED [1, 1], got " + describe(x),
                       x.format == Format::kRagged ? "reduce with Max, Mean or Sum over dim 1 and dim 2" : "");
  }
  if (call.op == Op::kApproxTopK && (call.attrs.tolerance < 0 || call.attrs.tolerance > 1)) {
    return call.refuse("tolerate_ratio must be in [0, 1], got " + format_number(call.attrs.tolerance));
  }
  if (call.op == Op::kTopKTable) {
    if (call.attrs.k < 1) { return call.refuse("k must be at least 1, got " + std::to_string(call.attrs.k)); }
    return TypedValue{{1, 1}, Format::kRagged, true};
  }
  return x;
}

// For the kinds whose operations each have a rule of their own: a new one must not fall to another's.
Error no_rule(const Call& call) { return internal_error(call.name() + ": infer.cpp has no rule for its shape"); }

Result<TypedValue> infer_leaf(const Call& call) {
  const Geometry& geometry = call.program.geometry;
  if (call.op == Op::kQuery) { return TypedValue{{geometry.group, geometry.head_dim}, Format::kBatched}; }
  if (call.op == Op::kField) { return infer_field(call); }
  if (call.op == Op::kParameter) { return infer_parameter(call); }
  return no_rule(call);
}

Result<TypedValue> infer_product(const Call& call) {
  if (call.op == Op::kGemm) { return infer_gemm(call); }
  if (call.op == Op::kGemv) { return infer_gemv(call); }
  return no_rule(call);
}

Result<TypedValue> infer_layout(const Call& call) {
  const Shape x = call.in[0].shape;
  if (call.op == Op::kTranspose) { return TypedValue{{x.cols, x.rows}, joined_format(call.in)}; }
  if (call.op == Op::kReshape) { return infer_reshape(call); }
  if (call.op == Op::kMaskSlice) { return infer_mask(call); }
  return no_rule(call);
}

Result<TypedValue> dispatch(const Call& call) {
  switch (op_info(call.op).kind) {
    case OpKind::kLeaf:
      return infer_leaf(call);
    case OpKind::kProduct:
      return infer_product(call);
    case OpKind::kKron:
      return infer_kron(call);
    case OpKind::kReduction:
      return infer_reduction(call);
    case OpKind::kInterleave:
      return infer_interleave(call);
    case OpKind::kOverPages:
      return infer_over_pages(call);
    case OpKind::kBinary:
    case OpKind::kWhere:
      return infer_broadcast(call);
    case OpKind::kUnary:
      return TypedValue{call.in[0].shape, joined_format(call.in)};
    case OpKind::kLayout:
      return infer_layout(call);
    case OpKind::kStorage:
      return infer_field(call);
    case OpKind::kSelection:
      return infer_selection(call);
  }
  return no_rule(call);
}

}  // namespace

TypedValue typed_value(const Node& node) { return {node.shape, node.format, node.op == Op::kTopKTable}; }

Result<TypedValue> infer(Side side, Op op, const Attrs& attrs, const std::vector<TypedValue>& operands,
                         const Program& program, Shape reshape_to) {
  const Call call{side, op, attrs, operands, program, reshape_to};
  VORTEX_TRY(check_common(call));
  return dispatch(call);
}

Result<int> append_node(Program& program, Side side, Op op, std::vector<int> inputs, const Attrs& attrs,
                        Shape reshape_to, SourcePos pos) {
  Graph& graph = side == Side::kCache ? program.cache : program.indexer;
  std::vector<TypedValue> operands;
  for (int input : inputs) { operands.push_back(typed_value(graph.nodes[static_cast<size_t>(input)])); }
  VORTEX_ASSIGN(const TypedValue value, infer(side, op, attrs, operands, program, reshape_to));
  graph.nodes.push_back({op, std::move(inputs), attrs, value.shape, value.format, pos});
  return static_cast<int>(graph.nodes.size()) - 1;
}

}  // namespace vortex::vflow
