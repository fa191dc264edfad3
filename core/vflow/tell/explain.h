#pragma once

#include <string>
#include <vector>

#include "core/vflow/policy.h"

namespace vortex::vflow {

// For people: what the policy computes as formulas, which pages it attends, and what a decode step costs by the limit
// model (cost.h), per layer and in all, against dense attention, at `context_tokens` (0: the model's longest).
std::string explain(const Policy& policy, const ModelGeometry& model, int context_tokens = 0);

// The traced graph, one line a node: number, operation with attributes, operands, shape and format.
std::string graph_text(const Program& program);

// The live part of the traced graph as a drawing: the cache program on the left, the indexer on the right, every layer
// of the graph one row, fields between the two sides.
std::string graph_svg(const Program& program);

// A symmetric matrix of values in [0, 1] (distance.h), row-major, as a heat map with names and values.
std::string distance_heatmap_svg(const std::vector<std::string>& names, const std::vector<double>& matrix);

// The language for a reader who has to write policies, generated from the op table; short enough for a prompt.
std::string language_reference_markdown();

// The op table as JSON: [{"name", "sides", "arguments", "formula", "shapes", ...}].
std::string ops_json();

}  // namespace vortex::vflow
