#include "core/vflow/graph/ranges.h"

#include <algorithm>
#include <cmath>

#include "core/vflow/graph/op_table.h"

namespace vortex::vflow {
namespace {

constexpr double kMostPages = 32767;
constexpr double kWhereFalse = -1e30;

Bounds symmetric(double magnitude) { return {-magnitude, magnitude}; }

Bounds affine(const Node& node, Bounds x) {
  const double a = node.attrs.beta * x.low + node.attrs.alpha;
  const double b = node.attrs.beta * x.high + node.attrs.alpha;
  return {std::min(a, b), std::max(a, b)};
}

Bounds reduction(const Node& node, Shape from, Bounds x) {
  const double count = node.attrs.dim == 0 ? kMostPages : node.attrs.dim == 1 ? from.rows : from.cols;
  if (node.op == Op::kSum) return {std::min(x.low * count, 0.0), std::max(x.high * count, 0.0)};
  if (node.op == Op::kL2Norm) return {0, x.magnitude() * std::sqrt(count)};
  if (node.op == Op::kL2NormInterleave) return {0, x.magnitude() * std::sqrt(node.attrs.k)};
  return {std::min(x.low, 0.0), std::max(x.high, 0.0)};  // no page at all gives 0
}

Bounds unary(const Node& node, Bounds x) {
  const Attrs& attrs = node.attrs;
  switch (node.op) {
    case Op::kRelu:
      return {std::min(x.low, attrs.beta), std::max(x.high, attrs.beta)};
    case Op::kSigmoid:
      return {0, 1};
    case Op::kSilu:
      return symmetric(x.magnitude());
    case Op::kAddMul:
      return affine(node, x);
    case Op::kAbs:
      return {0, affine(node, x).magnitude()};
    case Op::kLog: {
      const Bounds inner = affine(node, x);
      return {std::log(inner.low), std::log(inner.high)};
    }
    case Op::kExp: {
      const Bounds inner = affine(node, x);
      return {std::exp(inner.low), std::exp(inner.high)};
    }
    case Op::kMaskSlice:
      return {std::min(attrs.alpha, attrs.beta), std::max(attrs.alpha, attrs.beta)};
    default:
      return x;
  }
}

Bounds binary(const Node& node, Bounds x, Bounds y, int inner) {
  const Attrs& attrs = node.attrs;
  switch (node.op) {
    case Op::kGemm:
    case Op::kGemv:
      return symmetric(x.magnitude() * y.magnitude() * inner);
    case Op::kKron:
    case Op::kMultiply:
      return symmetric(x.magnitude() * y.magnitude());
    case Op::kAdd:
      return {std::min(attrs.alpha * x.low, attrs.alpha * x.high) + std::min(attrs.beta * y.low, attrs.beta * y.high),
              std::max(attrs.alpha * x.low, attrs.alpha * x.high) + std::max(attrs.beta * y.low, attrs.beta * y.high)};
    case Op::kMaximum:
      return {std::max(x.low, y.low), std::max(x.high, y.high)};
    case Op::kMinimum:
      return {std::min(x.low, y.low), std::min(x.high, y.high)};
    default:
      return {kWhereFalse, 0};
  }
}

}  // namespace

// NaN if either bound is.
double Bounds::magnitude() const { return std::isnan(low) ? low : std::max(std::abs(high), std::abs(low)); }

Bounds value_range(const Program& program, Side side, int index, const std::vector<Bounds>& before,
                   const std::vector<Bounds>& fields) {
  const Graph& graph = side == Side::kCache ? program.cache : program.indexer;
  const Node& node = graph.nodes[static_cast<size_t>(index)];
  const auto in = [&](size_t i) { return before[static_cast<size_t>(node.inputs[i])]; };
  const auto shape = [&](size_t i) { return graph.nodes[static_cast<size_t>(node.inputs[i])].shape; };
  if (node.op == Op::kField || node.op == Op::kLoad) {
    const size_t field = static_cast<size_t>(node.attrs.field);
    return program.fields[field].builtin ? kInputRange : fields[field];
  }
  if (node.op == Op::kParameter) return symmetric(1);
  if (node.inputs.empty()) return kInputRange;
  if (node.inputs.size() == 2) return binary(node, in(0), in(1), shape(0).cols);
  switch (node.op) {
    case Op::kMean:
    case Op::kMax:
    case Op::kMin:
    case Op::kSum:
    case Op::kL2Norm:
    case Op::kL2NormInterleave:
      return reduction(node, shape(0), in(0));
    case Op::kSoftmax:
      return {0, 1};
    case Op::kNormalize:
      return symmetric(1);
    case Op::kConv1d: {
      const Constant& filter = program.constants[static_cast<size_t>(node.attrs.constant)];
      return symmetric(in(0).magnitude() * filter.dims[0]);
    }
    default:
      return unary(node, in(0));
  }
}

bool stays_finite(const Program& program) {
  std::vector<Bounds> fields(program.fields.size());
  std::vector<Bounds> ranges;
  // Follows one side once; false if a value grows too large. Written so that NaN fails too.
  const auto follow = [&](Side side, const Graph& graph) {
    ranges.clear();
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      ranges.push_back(value_range(program, side, static_cast<int>(i), ranges, fields));
      if (!(ranges.back().magnitude() <= kLargestMagnitude)) return false;
    }
    return true;
  };
  if (!follow(Side::kCache, program.cache)) return false;
  for (size_t i = 0; i < program.cache.nodes.size(); ++i) {
    const Node& node = program.cache.nodes[i];
    if (node.op == Op::kStore) fields[static_cast<size_t>(node.attrs.field)] = ranges[i];
    if (node.op == Op::kFill) fields[static_cast<size_t>(node.attrs.field)] = {node.attrs.alpha, node.attrs.alpha};
  }
  bool changed = true;
  for (int step = 0; changed && step < 512; ++step) {
    if (!follow(Side::kIndexer, program.indexer)) return false;
    changed = false;
    for (size_t i = 0; i < program.indexer.nodes.size(); ++i) {
      const Node& node = program.indexer.nodes[i];
      if (node.op != Op::kSave) continue;
      Bounds& state = fields[static_cast<size_t>(node.attrs.field)];
      const Bounds wider = {std::min(state.low, ranges[i].low), std::max(state.high, ranges[i].high)};
      changed = changed || wider.low < state.low || wider.high > state.high;
      state = wider;
    }
  }
  return true;
}

bool needs_tame_operands(Op op) {
  switch (op) {
    case Op::kGemm:
    case Op::kGemv:
    case Op::kKron:
    case Op::kMultiply:
    case Op::kSum:
    case Op::kL2Norm:
    case Op::kL2NormInterleave:
    case Op::kNormalize:
    case Op::kExp:
    case Op::kLog:
      return true;
    default:
      return false;
  }
}

double nice(double value) {
  if (value == 0) return 0;
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 1);
  // Through the decimal text, so that the result is the double nearest to two digits.
  const double digits = std::trunc(value / unit);
  const double power = std::round(std::log10(unit));
  return power >= 0 ? digits * std::pow(10.0, power) : digits / std::pow(10.0, -power);
}

}  // namespace vortex::vflow
