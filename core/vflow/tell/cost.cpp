#include "core/vflow/tell/cost.h"

#include <algorithm>

#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/graph/row_pages.h"

namespace vortex::vflow {
namespace {

// Floating-point operations of one node, for one page or for one row of BATCHED values.
double node_flops(const Graph& graph, const Node& node) {
  if (node.inputs.empty()) { return 0; }
  const Shape x = graph.nodes[static_cast<size_t>(node.inputs[0])].shape;
  const OpInfo& info = op_info(node.op);
  if (info.kind == OpKind::kProduct) { return info.flops * static_cast<double>(node.shape.size()) * x.cols; }
  return info.flops * static_cast<double>(std::max(x.size(), node.shape.size()));
}

double field_bytes(const Field& field, const EngineConfig& config) {
  return static_cast<double>(field.shape.size()) * dtype_bytes(field.builtin ? config.kv_dtype : config.dtype);
}

// Bytes a page that the policy's fields take.
double held_bytes(const Program& program, const EngineConfig& config) {
  double bytes = 0;
  for (const Field& field : program.fields) { bytes += field.builtin ? 0 : field_bytes(field, config); }
  return bytes;
}

// Batched values are made once a row.
bool once_a_row(const Node& node) { return node.format == Format::kBatched; }

}  // namespace

PageCost page_cost(const Policy& policy) {
  const Program& program = policy.program;
  const Liveness live = find_live(program);
  std::vector<bool> read(program.fields.size());
  std::vector<bool> saved(program.fields.size());
  PageCost cost;
  for (size_t i = 0; i < program.indexer.nodes.size(); ++i) {
    const Node& node = program.indexer.nodes[i];
    if (!live.indexer[i]) { continue; }
    if (node.attrs.field >= 0) { (node.op == Op::kSave ? saved : read)[static_cast<size_t>(node.attrs.field)] = true; }
    if (once_a_row(node)) { continue; }
    cost.flops += node_flops(program.indexer, node);
    cost.special += op_info(node.op).special * static_cast<double>(node.shape.size());
  }
  for (size_t i = 0; i < program.fields.size(); ++i) {
    const double bytes = field_bytes(program.fields[i], policy.config);
    cost.read_bytes += read[i] ? bytes : 0;
    cost.saved_bytes += saved[i] ? bytes : 0;
  }
  return cost;
}

DecodeCost decode_cost(const Policy& policy, const ModelGeometry& model, int context_tokens) {
  const Program program = pruned(policy.program);
  const EngineConfig& config = policy.config;
  const Geometry& geometry = program.geometry;
  const bool mla = program.dialect == Dialect::kMla;
  const double heads = mla ? 1 : model.num_kv_heads;
  const double token_bytes = (mla ? 1.0 : 2.0) * heads * geometry.head_dim * dtype_bytes(config.kv_dtype);
  const double token_flops = 4.0 * heads * geometry.group * geometry.head_dim;

  DecodeCost cost;
  cost.context_tokens = context_tokens;
  cost.pages = (context_tokens + config.block_size - 1) / config.block_size;
  cost.selected_pages = static_cast<int>(row_pages(program, config, cost.pages).most);
  const bool scores = selected_blocks(config, cost.pages) < cost.pages;
  cost.scored_pages = scores ? std::max(0, cost.pages - config.reserved_eos) : 0;
  for (int layer = 0; layer < model.layers; ++layer) {
    ++(layer_is_dense(config, layer) ? cost.dense_layers : cost.sparse_layers);
  }

  const double attended = std::min(context_tokens, cost.selected_pages * config.block_size);
  cost.page = page_cost(policy);
  const double scored = static_cast<double>(cost.sparse_layers) * heads * cost.scored_pages;
  cost.dense_bytes = token_bytes * context_tokens * model.layers;
  cost.dense_layer_bytes = token_bytes * context_tokens * cost.dense_layers;
  cost.selected_bytes = token_bytes * attended * cost.sparse_layers;
  cost.summary_bytes = scored * cost.page.read_bytes;
  cost.state_bytes = scored * cost.page.saved_bytes;
  cost.policy_bytes = cost.dense_layer_bytes + cost.selected_bytes + cost.summary_bytes + cost.state_bytes;

  cost.score_flops = scored * cost.page.flops;
  for (const Node& node : program.indexer.nodes) {
    if (once_a_row(node) && scores) {
      cost.score_flops += cost.sparse_layers * heads * node_flops(program.indexer, node);
    }
  }
  cost.special = scored * cost.page.special;
  cost.dense_flops = token_flops * context_tokens * model.layers;
  cost.policy_flops =
      token_flops * (context_tokens * cost.dense_layers + attended * cost.sparse_layers) + cost.score_flops;
  cost.field_overhead = heads * held_bytes(program, config) / (token_bytes * config.block_size);
  return cost;
}

}  // namespace vortex::vflow
