#include "core/vflow/vary/sketch.h"

#include <algorithm>

namespace vortex::vflow {

Geometry geometry_for(const ModelGeometry& model, Dialect dialect, int block_size) {
  if (dialect == Dialect::kMla) {
    return {model.num_q_heads, model.kv_lora_rank + model.rope_dim, block_size, model.rope_dim};
  }
  return {model.num_q_heads / model.num_kv_heads, model.head_dim, block_size, 0};
}

Program empty_program(Dialect dialect, const Geometry& geometry) {
  Program program;
  program.name = "policy";
  program.dialect = dialect;
  program.geometry = geometry;
  const Shape page{geometry.block_size, geometry.head_dim};
  if (dialect == Dialect::kMla) {
    program.fields = {{"latent", page, true}};
  } else {
    program.fields = {{"k", page, true}, {"v", page, true}};
  }
  return program;
}

int find_field(const Program& program, const std::string& name) {
  const auto found = std::find_if(program.fields.begin(), program.fields.end(),
                                  [&](const Field& field) { return field.name == name; });
  return found == program.fields.end() ? -1 : static_cast<int>(found - program.fields.begin());
}

Attrs attrs_dim(Op op, int dim) {
  Attrs attrs = default_attrs(op);
  attrs.dim = dim;
  return attrs;
}

Attrs attrs_affine(Op op, double alpha, double beta) {
  Attrs attrs = default_attrs(op);
  attrs.alpha = alpha;
  attrs.beta = beta;
  return attrs;
}

Attrs attrs_field(int field) {
  Attrs attrs;
  attrs.field = field;
  return attrs;
}

int Sketch::append(Side side, Op op, std::vector<int> inputs, const Attrs& attrs, Shape reshape_to) {
  failed_ = failed_ || std::any_of(inputs.begin(), inputs.end(), [](int input) { return input < 0; });
  if (failed_) { return -1; }
  const Result<int> index = append_node(program_, side, op, std::move(inputs), attrs, reshape_to);
  failed_ = !index.ok();
  return failed_ ? -1 : *index;
}

int Sketch::cache(Op op, std::vector<int> inputs, const Attrs& attrs, Shape reshape_to) {
  return append(Side::kCache, op, std::move(inputs), attrs, reshape_to);
}

int Sketch::indexer(Op op, std::vector<int> inputs, const Attrs& attrs, Shape reshape_to) {
  return append(Side::kIndexer, op, std::move(inputs), attrs, reshape_to);
}

int Sketch::leaf(Side side, Op op, int field) {
  const std::vector<Node>& nodes = (side == Side::kCache ? program_.cache : program_.indexer).nodes;
  const auto found = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const Node& node) { return node.op == op && node.attrs.field == field; });
  if (found != nodes.end()) { return static_cast<int>(found - nodes.begin()); }
  return append(side, op, {}, attrs_field(field), {});
}

int Sketch::cache_field(const std::string& name) {
  const int field = find_field(program_, name);
  failed_ = failed_ || field < 0;
  return failed_ ? -1 : leaf(Side::kCache, Op::kField, field);
}

int Sketch::indexer_field(const std::string& name) {
  const int field = find_field(program_, name);
  failed_ = failed_ || field < 0;
  return failed_ ? -1 : leaf(Side::kIndexer, Op::kField, field);
}

int Sketch::query() { return leaf(Side::kIndexer, Op::kQuery, -1); }

std::string Sketch::declare(const std::string& wish, Shape shape) {
  std::string name = wish;
  for (int i = 2; find_field(program_, name) >= 0; ++i) { name = wish + "_" + std::to_string(i); }
  const auto builtin =
      std::find_if(program_.fields.begin(), program_.fields.end(), [](const Field& field) { return field.builtin; });
  const int index = static_cast<int>(builtin - program_.fields.begin());
  program_.fields.insert(builtin, {name, shape, false});
  for (Graph* graph : {&program_.cache, &program_.indexer}) {
    for (Node& node : graph->nodes) {
      if (node.attrs.field >= index) { ++node.attrs.field; }
    }
  }
  return name;
}

std::string Sketch::store(const std::string& wish, int value) {
  failed_ = failed_ || value < 0;
  if (failed_) { return wish; }
  const std::string name = declare(wish, cache_node(value).shape);
  cache(Op::kStore, {value}, attrs_field(find_field(program_, name)));
  return name;
}

std::string Sketch::fill(const std::string& wish, Shape shape, double value) {
  const std::string name = declare(wish, shape);
  Attrs attrs = attrs_field(find_field(program_, name));
  attrs.alpha = value;
  cache(Op::kFill, {}, attrs);
  return name;
}

int Sketch::load(const std::string& field) {
  const int index = find_field(program_, field);
  failed_ = failed_ || index < 0;
  return failed_ ? -1 : indexer(Op::kLoad, {}, attrs_field(index));
}

void Sketch::save(int value, const std::string& field) {
  const int index = find_field(program_, field);
  failed_ = failed_ || index < 0;
  if (!failed_) { indexer(Op::kSave, {value}, attrs_field(index)); }
}

int Sketch::constant(Constant value) {
  const auto found = std::find(program_.constants.begin(), program_.constants.end(), value);
  if (found != program_.constants.end()) { return static_cast<int>(found - program_.constants.begin()); }
  program_.constants.push_back(std::move(value));
  return static_cast<int>(program_.constants.size()) - 1;
}

}  // namespace vortex::vflow
