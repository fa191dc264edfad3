#pragma once

#include <vector>

#include "core/vflow/vary/sketch.h"

namespace vortex::vflow {

// Shapes and formats of every node again, after an edit or for another geometry: fields take the shape of what is
// stored to them (a field that is only filled follows block size and head size where it had them), MaskSlice's bounds
// and Reshape's targets follow where they covered a whole axis. Refused if the program does not type at that geometry.
Result<Program> retraced(const Program& program, const Geometry& geometry);

// How a program chooses pages, taken off so that its scores can be worked on.
struct Selection {
  Op op = Op::kTopK;             // kTopK, kApproxTopK or kUnion
  double tolerance = 0;          // of kApproxTopK
  std::vector<int> scores;       // indexer nodes: one, or two for kUnion
  std::vector<int> table_sizes;  // of kUnion's two TopK(k)
};

// Removes the terminal and its tables from a pruned program; the indices of the scores stay valid.
Selection take_selection(Program& program);
// The counterpart: appends terminal nodes for a selection.
void append_selection(Sketch& sketch, const Selection& selection);

// Inserts a node that takes over the `use`-th input of node `consumer`: consumer(x) becomes consumer(op(x)).
// Shapes are left to retraced().
void insert_before(Graph& graph, int consumer, size_t use, Op op, const Attrs& attrs);
// Makes every reader of `node` read its `operand`-th input instead; the node itself becomes dead.
void bypass(Graph& graph, int node, size_t operand);

// Copies what an indexer node of `source` depends on (nodes, fields with their writers and Saves, constants) into the
// sketch and gives the copy of the node. Both programs must have the same dialect and geometry. Fields keep their
// names or get a new number.
int import_indexer_value(Sketch& sketch, const Program& source, int node);

}  // namespace vortex::vflow
