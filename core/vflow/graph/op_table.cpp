#include "core/vflow/graph/op_table.h"

#include <algorithm>
#include <bit>

namespace vortex::vflow {
namespace {

bool powers_of_two(Shape shape) {
  return std::has_single_bit(static_cast<unsigned>(shape.rows)) &&
         std::has_single_bit(static_cast<unsigned>(shape.cols));
}

}  // namespace

const OpInfo& op_info(Op op) { return op_table()[static_cast<size_t>(op)]; }

bool takes(const OpInfo& info, Arg arg) {
  return std::any_of(info.args.begin(), info.args.end(), [&](const ArgInfo& own) { return own.arg == arg; });
}

bool is_terminal(Op op) { return chooses_pages(op) && op_info(op).reach == Reach::kRoot; }
bool chooses_pages(Op op) { return op_info(op).kind == OpKind::kSelection; }
bool writes_field(Op op) { return op_info(op).kind == OpKind::kStorage && op_info(op).reach == Reach::kRoot; }

const OpInfo* find_op(std::string_view name, Side side) {
  if (name.empty()) { return nullptr; }
  for (const OpInfo& info : op_table()) {
    if (info.name == name && (side == Side::kCache ? info.on_cache : info.on_indexer)) { return &info; }
  }
  return nullptr;
}

Attrs default_attrs(Op op) {
  Attrs attrs;
  for (const ArgInfo& arg : op_info(op).args) {
    if (arg.default_value) { set_arg(attrs, arg.arg, *arg.default_value); }
  }
  if (op == Op::kKron) { attrs.kron_axes = 3; }
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
    case Arg::kKronAxes:
    case Arg::kLeading:
    case Arg::kRows:
    case Arg::kCols:
    case Arg::kWeight:
    case Arg::kValue:
    case Arg::kLayerLookup:
    case Arg::kDtype:
    case Arg::kDevice:
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
    case Arg::kKronAxes:
    case Arg::kLeading:
    case Arg::kRows:
    case Arg::kCols:
    case Arg::kWeight:
    case Arg::kValue:
    case Arg::kLayerLookup:
    case Arg::kDtype:
    case Arg::kDevice:
      return 0;
  }
  return 0;
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
    case Arg::kAlpha:
    case Arg::kBeta:
    case Arg::kScale:
    case Arg::kTolerance:
    case Arg::kKronAxes:
    case Arg::kWeight:
    case Arg::kValue:
    case Arg::kLayerLookup:
    case Arg::kDtype:
    case Arg::kDevice:
      return false;
  }
  return false;
}

Reach node_reach(const Graph& graph, const Node& node) {
  if (op_info(node.op).kind == OpKind::kReduction && node.attrs.dim == 0) { return Reach::kRow; }
  if (node.op == Op::kGemm && graph.nodes[static_cast<size_t>(node.inputs[1])].op == Op::kParameter) {
    return Reach::kRow;
  }
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
