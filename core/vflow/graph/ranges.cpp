#include "core/vflow/graph/ranges.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/vflow/graph/op_table.h"

namespace vortex::vflow {
double Bounds::magnitude() const { return std::isnan(low) ? low : std::max(std::abs(high), std::abs(low)); }

Bounds value_range(const Program& program, Side side, int index, const std::vector<Bounds>& before,
                   const std::vector<Bounds>& fields) {
  const Graph& graph = side == Side::kCache ? program.cache : program.indexer;
  const Node& node = graph.nodes[static_cast<size_t>(index)];
  if (node.op == Op::kField || node.op == Op::kLoad) {
    const size_t field = static_cast<size_t>(node.attrs.field);
    return program.fields[field].builtin ? kInputRange : fields[field];
  }
  std::array<Bounds, 2> in;
  std::array<Shape, 2> shapes;
  const size_t count = std::min(node.inputs.size(), in.size());
  for (size_t i = 0; i < count; ++i) {
    in[i] = before[static_cast<size_t>(node.inputs[i])];
    shapes[i] = graph.nodes[static_cast<size_t>(node.inputs[i])].shape;
  }
  return op_info(node.op).bounds({node, program, {in.data(), count}, {shapes.data(), count}});
}

bool stays_finite(const Program& program) {
  std::vector<Bounds> fields(program.fields.size());
  std::vector<Bounds> ranges;
  // Follows one side once; false if a value grows too large. Written so that NaN fails too.
  const auto follow = [&](Side side, const Graph& graph) {
    ranges.clear();
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      ranges.push_back(value_range(program, side, static_cast<int>(i), ranges, fields));
      if (!(ranges.back().magnitude() <= kLargestMagnitude)) { return false; }
    }
    return true;
  };
  if (!follow(Side::kCache, program.cache)) { return false; }
  for (size_t i = 0; i < program.cache.nodes.size(); ++i) {
    const Node& node = program.cache.nodes[i];
    if (node.op == Op::kStore) { fields[static_cast<size_t>(node.attrs.field)] = ranges[i]; }
    if (node.op == Op::kFill) { fields[static_cast<size_t>(node.attrs.field)] = {node.attrs.alpha, node.attrs.alpha}; }
  }
  bool changed = true;
  for (int step = 0; changed && step < 512; ++step) {
    if (!follow(Side::kIndexer, program.indexer)) { return false; }
    changed = false;
    for (size_t i = 0; i < program.indexer.nodes.size(); ++i) {
      const Node& node = program.indexer.nodes[i];
      if (node.op != Op::kSave) { continue; }
      Bounds& state = fields[static_cast<size_t>(node.attrs.field)];
      const Bounds wider = {std::min(state.low, ranges[i].low), std::max(state.high, ranges[i].high)};
      changed = changed || wider.low < state.low || wider.high > state.high;
      state = wider;
    }
  }
  return true;
}

double nice(double value) {
  if (value == 0) { return 0; }
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 1);
  // Through the decimal text, so that the result is the double nearest to two digits.
  const double digits = std::trunc(value / unit);
  const double power = std::round(std::log10(unit));
  return power >= 0 ? digits * std::pow(10.0, power) : digits / std::pow(10.0, -power);
}

}  // namespace vortex::vflow
