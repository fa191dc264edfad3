#include "core/vflow/vary/edit.h"

#include <algorithm>
#include <map>

#include "core/vflow/graph/prune.h"

namespace vortex::vflow {
namespace {

int followed_size(int size, const Geometry& from, const Geometry& to) {
  if (size == from.block_size && size != 1) { return to.block_size; }
  if (size == from.head_dim && size != 1) { return to.head_dim; }
  return size;
}

// Attributes and Reshape target of a node whose operand changed its shape.
void follow_operand(Node& node, Shape before, Shape now) {
  if (node.op == Op::kMaskSlice) {
    const int old_size = node.attrs.dim == 1 ? before.rows : before.cols;
    const int new_size = node.attrs.dim == 1 ? now.rows : now.cols;
    if (node.attrs.end == old_size) { node.attrs.end = new_size; }
    node.attrs.end = std::min(node.attrs.end, new_size);
    node.attrs.start = std::min(node.attrs.start, node.attrs.end);
  }
  if (node.op == Op::kReshape && node.shape.size() != now.size()) {
    if (now.size() % node.shape.cols == 0) {
      node.shape.rows = static_cast<int>(now.size() / node.shape.cols);
    } else if (now.size() % node.shape.rows == 0) {
      node.shape.cols = static_cast<int>(now.size() / node.shape.rows);
    }
  }
}

class Retracer {
 public:
  Retracer(const Program& program, const Geometry& geometry) : source_(program), result_(program) {
    result_.geometry = geometry;
    result_.cache.nodes.clear();
    result_.indexer.nodes.clear();
    const Program fresh = empty_program(program.dialect, geometry);
    for (Field& field : result_.fields) {
      const int builtin = field.builtin ? find_field(fresh, field.name) : -1;
      field.shape = builtin >= 0 ? fresh.fields[static_cast<size_t>(builtin)].shape
                                 : Shape{followed_size(field.shape.rows, program.geometry, geometry),
                                         followed_size(field.shape.cols, program.geometry, geometry)};
    }
  }

  Result<Program> run() {
    VORTEX_TRY(trace(Side::kCache, source_.cache));
    VORTEX_TRY(trace(Side::kIndexer, source_.indexer));
    return std::move(result_);
  }

 private:
  Status trace(Side side, const Graph& graph) {
    const Graph& target = side == Side::kCache ? result_.cache : result_.indexer;
    for (Node node : graph.nodes) {
      if (!node.inputs.empty()) {
        const size_t operand = static_cast<size_t>(node.inputs[0]);
        const Shape now = target.nodes[operand].shape;
        follow_operand(node, graph.nodes[operand].shape, now);
        if (node.op == Op::kStore) { result_.fields[static_cast<size_t>(node.attrs.field)].shape = now; }
      }
      VORTEX_TRY(append_node(result_, side, node.op, node.inputs, node.attrs, node.shape, node.pos));
    }
    return ok_status();
  }

  const Program& source_;
  Program result_;
};

}  // namespace

Result<Program> retraced(const Program& program, const Geometry& geometry) { return Retracer(program, geometry).run(); }

Selection take_selection(Program& program) {
  Selection selection;
  std::vector<Node>& nodes = program.indexer.nodes;
  const int terminal_index = find_live(program).terminal;
  const Node terminal = nodes[static_cast<size_t>(terminal_index)];
  selection.op = terminal.op;
  selection.tolerance = terminal.attrs.tolerance;
  std::vector<int> removed = {terminal_index};
  for (int input : terminal.inputs) {
    const Node& operand = nodes[static_cast<size_t>(input)];
    if (operand.op == Op::kTopKTable) {
      removed.push_back(input);
      selection.scores.push_back(operand.inputs[0]);
      selection.table_sizes.push_back(operand.attrs.k);
    } else {
      selection.scores.push_back(input);
    }
  }
  std::sort(removed.begin(), removed.end());
  removed.erase(std::unique(removed.begin(), removed.end()), removed.end());
  const auto moved = [&](int index) {
    return index - static_cast<int>(std::lower_bound(removed.begin(), removed.end(), index) - removed.begin());
  };
  for (auto it = removed.rbegin(); it != removed.rend(); ++it) { nodes.erase(nodes.begin() + *it); }
  for (Node& node : nodes) {
    for (int& input : node.inputs) { input = moved(input); }
  }
  for (int& score : selection.scores) { score = moved(score); }
  return selection;
}

void append_selection(Sketch& sketch, const Selection& selection) {
  if (selection.op != Op::kUnion) {
    Attrs attrs = default_attrs(selection.op);
    attrs.tolerance = selection.tolerance;
    sketch.indexer(selection.op, {selection.scores[0]}, attrs);
    return;
  }
  std::vector<int> tables;
  for (size_t i = 0; i < 2; ++i) {
    Attrs attrs;
    attrs.k = selection.table_sizes[i];
    tables.push_back(sketch.indexer(Op::kTopKTable, {selection.scores[i]}, attrs));
  }
  sketch.indexer(Op::kUnion, tables);
}

void insert_before(Graph& graph, int consumer, size_t use, Op op, const Attrs& attrs) {
  for (Node& node : graph.nodes) {
    for (int& input : node.inputs) {
      if (input >= consumer) { ++input; }
    }
  }
  Node inserted;
  inserted.op = op;
  inserted.attrs = attrs;
  inserted.inputs = {graph.nodes[static_cast<size_t>(consumer)].inputs[use]};
  inserted.shape = graph.nodes[static_cast<size_t>(inserted.inputs[0])].shape;
  graph.nodes[static_cast<size_t>(consumer)].inputs[use] = consumer;
  graph.nodes.insert(graph.nodes.begin() + consumer, std::move(inserted));
}

void bypass(Graph& graph, int node, size_t operand) {
  const int source = graph.nodes[static_cast<size_t>(node)].inputs[operand];
  for (size_t i = static_cast<size_t>(node) + 1; i < graph.nodes.size(); ++i) {
    std::replace(graph.nodes[i].inputs.begin(), graph.nodes[i].inputs.end(), node, source);
  }
}

namespace {

class Importer {
 public:
  Importer(Sketch& sketch, const Program& source) : sketch_(sketch), source_(source), live_(find_live(source)) {}

  int run(int node) {
    const int copy = indexer(node);
    // A Save may read fields that were not met before, whose Saves are then due too.
    while (!due_saves_.empty()) {
      const auto [field, name] = due_saves_.back();
      due_saves_.pop_back();
      const int save = live_.save[static_cast<size_t>(field)];
      if (save >= 0) { sketch_.save(indexer(source_.indexer.nodes[static_cast<size_t>(save)].inputs[0]), name); }
    }
    return copy;
  }

 private:
  int indexer(int index) {
    const auto known = indexer_.find(index);
    if (known != indexer_.end()) { return known->second; }
    const Node& node = source_.indexer.nodes[static_cast<size_t>(index)];
    std::vector<int> inputs;
    for (int input : node.inputs) { inputs.push_back(indexer(input)); }
    Attrs attrs = node.attrs;
    if (attrs.constant >= 0) {
      attrs.constant = sketch_.constant(source_.constants[static_cast<size_t>(attrs.constant)]);
    }
    int copy = -1;
    if (node.op == Op::kQuery) {
      copy = sketch_.query();
    } else if (node.op == Op::kField) {
      copy = sketch_.indexer_field(field(attrs.field));
    } else if (node.op == Op::kLoad) {
      copy = sketch_.load(field(attrs.field));
    } else {
      copy = sketch_.indexer(node.op, inputs, attrs, node.shape);
    }
    indexer_[index] = copy;
    return copy;
  }

  int cache(int index) {
    const auto known = cache_.find(index);
    if (known != cache_.end()) { return known->second; }
    const Node& node = source_.cache.nodes[static_cast<size_t>(index)];
    std::vector<int> inputs;
    for (int input : node.inputs) { inputs.push_back(cache(input)); }
    const int copy = node.op == Op::kField ? sketch_.cache_field(field(node.attrs.field))
                                           : sketch_.cache(node.op, inputs, node.attrs, node.shape);
    cache_[index] = copy;
    return copy;
  }

  // The name of a field's copy, made with its writer at the first mention.
  std::string field(int index) {
    const Field& original = source_.fields[static_cast<size_t>(index)];
    if (original.builtin) { return original.name; }
    const auto known = fields_.find(index);
    if (known != fields_.end()) { return known->second; }
    const int writer = live_.writer[static_cast<size_t>(index)];
    std::string name;
    if (writer >= 0 && source_.cache.nodes[static_cast<size_t>(writer)].op == Op::kStore) {
      name = sketch_.store(original.name, cache(source_.cache.nodes[static_cast<size_t>(writer)].inputs[0]));
    } else {
      const double value = writer < 0 ? 0 : source_.cache.nodes[static_cast<size_t>(writer)].attrs.alpha;
      name = sketch_.fill(original.name, original.shape, value);
    }
    fields_[index] = name;
    due_saves_.emplace_back(index, name);
    return name;
  }

  Sketch& sketch_;
  const Program& source_;
  const Liveness live_;
  std::map<int, int> indexer_;
  std::map<int, int> cache_;
  std::map<int, std::string> fields_;
  std::vector<std::pair<int, std::string>> due_saves_;
};

}  // namespace

int import_indexer_value(Sketch& sketch, const Program& source, int node) { return Importer(sketch, source).run(node); }

}  // namespace vortex::vflow
