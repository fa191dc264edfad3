#include "core/vflow/graph/prune.h"

#include <algorithm>
#include <utility>

#include "core/vflow/graph/op_table.h"

namespace vortex::vflow {
namespace {

class Marker {
 public:
  Marker(const Program& program, bool through_masks) : program_(program), through_masks_(through_masks) {
    live_.cache.resize(program.cache.nodes.size());
    live_.indexer.resize(program.indexer.nodes.size());
    live_.fields.resize(program.fields.size());
    live_.writer.assign(program.fields.size(), -1);
    live_.save.assign(program.fields.size(), -1);
    for (size_t i = 0; i < program.cache.nodes.size(); ++i) {
      const Node& node = program.cache.nodes[i];
      if (node.op == Op::kStore || node.op == Op::kFill) { live_.writer[field_of(node)] = static_cast<int>(i); }
    }
    for (size_t i = 0; i < program.indexer.nodes.size(); ++i) {
      const Node& node = program.indexer.nodes[i];
      if (node.op == Op::kSave) { live_.save[field_of(node)] = static_cast<int>(i); }
      if (is_terminal(node.op)) { live_.terminal = static_cast<int>(i); }
    }
  }

  Liveness run() {
    reach(Side::kIndexer, live_.terminal);
    while (!pending_.empty()) {
      const auto [side, index] = pending_.back();
      pending_.pop_back();
      visit(side, index);
    }
    return std::move(live_);
  }

 private:
  static size_t field_of(const Node& node) { return static_cast<size_t>(node.attrs.field); }

  void reach(Side side, int index) {
    if (index < 0) { return; }
    std::vector<bool>& seen = side == Side::kCache ? live_.cache : live_.indexer;
    if (seen[static_cast<size_t>(index)]) { return; }
    seen[static_cast<size_t>(index)] = true;
    pending_.emplace_back(side, index);
  }

  void visit(Side side, int index) {
    const Graph& graph = side == Side::kCache ? program_.cache : program_.indexer;
    const Node& node = graph.nodes[static_cast<size_t>(index)];
    if (node.op != Op::kMaskSlice || through_masks_) {
      for (int input : node.inputs) { reach(side, input); }
    }
    if (node.op == Op::kField || node.op == Op::kLoad) {
      live_.fields[field_of(node)] = true;
      reach(Side::kCache, live_.writer[field_of(node)]);
      reach(Side::kIndexer, live_.save[field_of(node)]);
    }
  }

  const Program& program_;
  bool through_masks_;
  Liveness live_;
  std::vector<std::pair<Side, int>> pending_;
};

// New index of every kept element, -1 for the others.
std::vector<int> renumber(const std::vector<bool>& keep) {
  std::vector<int> index(keep.size(), -1);
  int next = 0;
  for (size_t i = 0; i < keep.size(); ++i) {
    if (keep[i]) { index[i] = next++; }
  }
  return index;
}

Graph kept_nodes(const Graph& graph, const std::vector<bool>& keep, const std::vector<int>& fields,
                 const std::vector<int>& constants) {
  const std::vector<int> nodes = renumber(keep);
  Graph result;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!keep[i]) { continue; }
    Node node = graph.nodes[i];
    for (int& input : node.inputs) { input = nodes[static_cast<size_t>(input)]; }
    if (node.attrs.field >= 0) { node.attrs.field = fields[static_cast<size_t>(node.attrs.field)]; }
    if (node.attrs.constant >= 0) { node.attrs.constant = constants[static_cast<size_t>(node.attrs.constant)]; }
    result.nodes.push_back(std::move(node));
  }
  return result;
}

}  // namespace

namespace {

// Makes every node read the first node that computes the same.
void merge_nodes(Graph& graph) {
  std::vector<int> first(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    for (int& input : node.inputs) { input = first[static_cast<size_t>(input)]; }
    first[i] = static_cast<int>(i);
    const bool root = writes_field(node.op) || is_terminal(node.op);
    for (size_t j = 0; j < i && !root && first[i] == static_cast<int>(i); ++j) {
      const Node& other = graph.nodes[j];
      const bool same =
          other.op == node.op && other.attrs == node.attrs && other.inputs == node.inputs && other.shape == node.shape;
      if (same) { first[i] = first[j]; }
    }
  }
}

// For every field the first one that holds the same.
std::vector<int> first_equal_field(const Program& program) {
  const Liveness live = find_live(program);
  std::vector<int> first(program.fields.size());
  for (size_t i = 0; i < program.fields.size(); ++i) {
    first[i] = static_cast<int>(i);
    for (size_t j = 0; j < i && first[i] == static_cast<int>(i); ++j) {
      if (live.writer[i] < 0 || live.writer[j] < 0 || live.save[i] >= 0 || live.save[j] >= 0) { continue; }
      const Node& a = program.cache.nodes[static_cast<size_t>(live.writer[i])];
      const Node& b = program.cache.nodes[static_cast<size_t>(live.writer[j])];
      const bool same_shape = program.fields[i].shape == program.fields[j].shape;
      if (same_shape && a.op == b.op && a.inputs == b.inputs && a.attrs.alpha == b.attrs.alpha) { first[i] = first[j]; }
    }
  }
  return first;
}

}  // namespace

Program merged(const Program& program) {
  Program result = program;
  for (Node& node : result.indexer.nodes) {
    if (node.attrs.constant < 0) { continue; }
    const auto equal = std::find(result.constants.begin(), result.constants.end(),
                                 result.constants[static_cast<size_t>(node.attrs.constant)]);
    node.attrs.constant = static_cast<int>(equal - result.constants.begin());
  }
  merge_nodes(result.cache);
  const std::vector<int> field = first_equal_field(result);
  for (Node& node : result.indexer.nodes) {
    if (node.op == Op::kField || node.op == Op::kLoad) {
      node.attrs.field = field[static_cast<size_t>(node.attrs.field)];
    }
  }
  merge_nodes(result.indexer);
  return pruned(result);
}

Liveness find_live(const Program& program, bool through_masks) { return Marker(program, through_masks).run(); }

Program pruned(const Program& program) {
  const Liveness live = find_live(program);
  std::vector<bool> keep_field = live.fields;
  for (size_t i = 0; i < program.fields.size(); ++i) { keep_field[i] = keep_field[i] || program.fields[i].builtin; }
  std::vector<bool> keep_constant(program.constants.size());
  for (size_t i = 0; i < program.indexer.nodes.size(); ++i) {
    const int constant = program.indexer.nodes[i].attrs.constant;
    if (live.indexer[i] && constant >= 0) { keep_constant[static_cast<size_t>(constant)] = true; }
  }
  Program result;
  result.name = program.name;
  result.dialect = program.dialect;
  result.geometry = program.geometry;
  for (size_t i = 0; i < program.fields.size(); ++i) {
    if (keep_field[i]) { result.fields.push_back(program.fields[i]); }
  }
  for (size_t i = 0; i < program.constants.size(); ++i) {
    if (keep_constant[i]) { result.constants.push_back(program.constants[i]); }
  }
  const std::vector<int> fields = renumber(keep_field);
  const std::vector<int> constants = renumber(keep_constant);
  result.cache = kept_nodes(program.cache, live.cache, fields, constants);
  result.indexer = kept_nodes(program.indexer, live.indexer, fields, constants);
  return result;
}

}  // namespace vortex::vflow
