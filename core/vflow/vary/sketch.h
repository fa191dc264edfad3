#pragma once

#include <string>
#include <vector>

#include "core/vflow/graph/op_table.h"
#include "core/vflow/policy.h"

namespace vortex::vflow {

Geometry geometry_for(const ModelGeometry& model, Dialect dialect, int block_size);

// A program with the built-in fields of its dialect and nothing else.
Program empty_program(Dialect dialect, const Geometry& geometry);

// Index of the field with that name, -1 if there is none.
int find_field(const Program& program, const std::string& name);

// Attrs with one thing set, the rest as the constructor of `op` has it.
Attrs attrs_dim(Op op, int dim);
Attrs attrs_affine(Op op, double alpha, double beta);
Attrs attrs_field(int field);

// A program under construction by hand or at random. The first refusal of `infer` sticks: from then on everything
// gives -1 and failed() is true, so a builder can be written without a check at every line.
class Sketch {
 public:
  explicit Sketch(Program program) : program_(std::move(program)) {}

  int cache(Op op, std::vector<int> inputs, const Attrs& attrs, Shape reshape_to = {});
  int indexer(Op op, std::vector<int> inputs, const Attrs& attrs, Shape reshape_to = {});
  int cache(Op op, std::vector<int> inputs) { return cache(op, std::move(inputs), default_attrs(op)); }
  int indexer(Op op, std::vector<int> inputs) { return indexer(op, std::move(inputs), default_attrs(op)); }

  // Reads of a field by name, and the query; each is one node however often it is asked for.
  int cache_field(const std::string& name);
  int indexer_field(const std::string& name);
  int query();

  // Declares a field in front of the built-in ones; gives its name, made unique from `wish`.
  std::string declare(const std::string& wish, Shape shape);
  // Declares a field that a cache value is stored to.
  std::string store(const std::string& wish, int value);
  // Declares a field that is filled with a number.
  std::string fill(const std::string& wish, Shape shape, double value);
  int load(const std::string& field);
  void save(int value, const std::string& field);
  int constant(Constant value);  // index of an equal constant, added if new

  bool failed() const { return failed_; }
  const Program& program() const { return program_; }
  Program& program() { return program_; }
  const Node& indexer_node(int index) const { return program_.indexer.nodes[static_cast<size_t>(index)]; }
  const Node& cache_node(int index) const { return program_.cache.nodes[static_cast<size_t>(index)]; }

 private:
  int append(Side side, Op op, std::vector<int> inputs, const Attrs& attrs, Shape reshape_to);
  int leaf(Side side, Op op, int field);

  Program program_;
  bool failed_ = false;
};

}  // namespace vortex::vflow
