#include "core/compile/reference/oracle.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "core/compile/reference/oracle_ops.h"
#include "core/compile/stages.h"
#include "core/tensor/vtensor.h"
#include "core/vflow/graph/op_table.h"

namespace vortex::compile {

using at::Tensor;
using vflow::Graph;
using vflow::Node;
using vflow::Op;

namespace {

struct Uncertain {
  Tensor value;
  Tensor error;
};

OracleValue to_plain(const Uncertain& x) {
  const auto copy = [](const Tensor& t) {
    const Tensor flat = t.to(at::kDouble).contiguous();
    return std::vector<double>(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
  };
  return {copy(x.value), copy(x.error)};
}

// One row (or one kv head's pages on the cache side) and the graph that runs on it.
struct PlanRow {
  const vflow::Policy* policy = nullptr;
  const Graph* graph = nullptr;
  const StagePlan* plan = nullptr;
  std::vector<tensor::VTensor> fields;  // PAGED, indexed as Program::fields
  int kv_head = 0;
  std::vector<int64_t> pages;  // physical, those that are computed
  Tensor q;                    // [1, group, head_dim]; undefined on the cache side
  OpContext context;
  at::ScalarType type = at::kDouble;
};

// Values of all nodes: as seen inside their stage, and as kept after it.
struct Values {
  std::vector<Uncertain> inside;
  std::vector<Uncertain> kept;
};

Uncertain exact(const Tensor& value) { return {value, at::zeros_like(value)}; }

Uncertain rounded(const Uncertain& x, vflow::Dtype dtype) {
  return {tensor::round_to(x.value, dtype), rounded_error(x.value, x.error, dtype)};
}

Uncertain leaf(const PlanRow& row, const Node& node) {
  if (node.op == Op::kQuery) { return exact(row.q); }
  if (node.op == Op::kParameter) {
    const auto& constant = row.policy->program.constants[static_cast<size_t>(node.attrs.constant)];
    return exact(parameter_matrix(constant, row.context.layer, row.type));
  }
  const auto& field = row.fields[static_cast<size_t>(node.attrs.field)];
  return exact(tensor::gather(field, row.kv_head, row.pages, row.type).data);
}

Uncertain input_of(const PlanRow& row, const Values& values, int node, int input) {
  return reads_kept(*row.graph, *row.plan, node, input) ? values.kept[static_cast<size_t>(input)]
                                                        : values.inside[static_cast<size_t>(input)];
}

Uncertain compute(const PlanRow& row, const Values& values, int index) {
  const Node& node = row.graph->nodes[static_cast<size_t>(index)];
  if (is_leaf(node.op) || node.op == Op::kLoad) { return leaf(row, node); }
  std::vector<Tensor> in;
  std::vector<Tensor> errors;
  for (const int input : node.inputs) {
    Uncertain x = input_of(row, values, index, input);
    const bool parameter_product =
        node.inputs.size() == 2 && row.graph->nodes[static_cast<size_t>(node.inputs[1])].op == Op::kParameter;
    if (parameter_product) { x = rounded(x, vflow::Dtype::kBf16); }
    in.push_back(x.value);
    errors.push_back(x.error);
  }
  const Tensor value = oracle_op(node, in, row.context);
  return {value, error_bound(node, in, errors, value, row.context)};
}

Values evaluate(const PlanRow& row) {
  Values values;
  values.inside.resize(row.graph->nodes.size());
  values.kept.resize(row.graph->nodes.size());
  for (size_t i = 0; i < row.graph->nodes.size(); ++i) {
    const Node& node = row.graph->nodes[i];
    if (!row.plan->live[i] || chooses_pages(node.op) || writes_field(node.op)) { continue; }
    values.inside[i] = compute(row, values, static_cast<int>(i));
    if (!is_leaf(node.op)) { values.kept[i] = rounded(values.inside[i], kept_dtype(node, row.policy->config.dtype)); }
  }
  return values;
}

std::vector<OracleWrite> collect_writes(const PlanRow& row, const Values& values) {
  std::vector<OracleWrite> result;
  for (size_t i = 0; i < row.graph->nodes.size(); ++i) {
    const Node& node = row.graph->nodes[i];
    if (!writes_field(node.op)) { continue; }
    Uncertain content;
    if (node.op == Op::kFill) {
      const auto count = static_cast<int64_t>(row.pages.size());
      const vflow::Shape shape = row.policy->program.fields[static_cast<size_t>(node.attrs.field)].shape;
      content = exact(at::full({count, shape.rows, shape.cols}, static_cast<float>(node.attrs.alpha),
                               at::TensorOptions().dtype(row.type)));
    } else {
      content = input_of(row, values, static_cast<int>(i), node.inputs[0]);
    }
    OracleWrite write;
    write.field = node.attrs.field;
    write.kv_head = row.kv_head;
    write.pages.assign(row.pages.begin(), row.pages.end());
    write.content = to_plain(rounded(content, row.policy->config.dtype));
    result.push_back(std::move(write));
  }
  return result;
}

std::vector<tensor::VTensor> field_views(const vflow::Policy& policy, const LayerCache& cache, int64_t pages) {
  std::vector<tensor::VTensor> views;
  size_t own = 0;
  for (const vflow::Field& field : policy.program.fields) {
    const PagedTensor& t = !field.builtin ? cache.fields[own++] : field.name == "v" ? cache.v : cache.k;
    views.push_back(tensor::paged_view(t.data, t.dtype, pages, t.kv_heads, t.rows, t.cols));
  }
  return views;
}

at::ScalarType scalar_type(OraclePrecision precision) {
  return precision == OraclePrecision::kFloat64 ? at::kDouble : at::kFloat;
}

// Positions of the k largest of the middle, ties to the lower one, a NaN below everything.
std::vector<int32_t> best_pages(const std::vector<double>& scores, int64_t bos, int k) {
  std::vector<int32_t> order(scores.size() - static_cast<size_t>(std::min<int64_t>(bos, std::ssize(scores))));
  std::iota(order.begin(), order.end(), static_cast<int32_t>(bos));
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const double x = scores[static_cast<size_t>(a)];
    const double y = scores[static_cast<size_t>(b)];
    return x > y || (x == x && y != y);
  });
  order.resize(std::min(order.size(), static_cast<size_t>(std::max(k, 0))));
  return order;
}

void add_range(std::vector<int32_t>& pages, int first, int last) {
  for (int i = first; i < last; ++i) { pages.push_back(i); }
}

void choose(const PlanRow& row, const Values& values, const RowBudget& budget, OracleRow& result) {
  const vflow::EngineConfig& config = row.policy->config;
  for (size_t i = 0; i < row.graph->nodes.size(); ++i) {
    const Node& node = row.graph->nodes[i];
    if (!row.plan->live[i] || !chooses_pages(node.op) || node.op == Op::kUnion) { continue; }
    const bool own_k = node.op == Op::kTopKTable;
    const int bos = own_k ? std::min(config.reserved_bos, result.blocks) : budget.bos;
    const int eos = own_k ? std::min(config.reserved_eos, result.blocks - bos) : budget.eos;
    OracleScores list;
    list.scores = to_plain(values.kept[static_cast<size_t>(node.inputs[0])]);
    list.k = own_k ? node.attrs.k : budget.middle;
    list.tolerance = node.op == Op::kApproxTopK ? node.attrs.tolerance : 0.0;
    const std::vector<int32_t> best = best_pages(list.scores.value, config.reserved_bos, list.k);
    result.chosen.insert(result.chosen.end(), best.begin(), best.end());
    add_range(result.chosen, 0, bos);
    add_range(result.chosen, result.blocks - eos, result.blocks);
    result.lists.push_back(std::move(list));
  }
  std::sort(result.chosen.begin(), result.chosen.end());
  result.chosen.erase(std::unique(result.chosen.begin(), result.chosen.end()), result.chosen.end());
}

OracleRow select_row(PlanRow row, const IndexerBatch& batch, int request) {
  const vflow::Program& program = row.policy->program;
  const vflow::EngineConfig& config = row.policy->config;
  OracleRow result;
  const int block = program.geometry.block_size;
  result.blocks = (batch.seq_lens[request] + block - 1) / block;
  const RowBudget budget = row_budget(config, result.blocks);
  result.everything_fits = budget.everything_fits;
  if (budget.everything_fits) {
    add_range(result.chosen, 0, result.blocks);
    return result;
  }
  const int32_t* table = batch.block_table + static_cast<int64_t>(request) * batch.max_blocks;
  row.pages.assign(table, table + std::max(0, result.blocks - config.reserved_eos));
  row.context = {&program, batch.layer, config.reserved_bos,
                 result.blocks <= config.reserved_bos + config.reserved_eos + config.topk_val};
  const Values values = evaluate(row);
  choose(row, values, budget, result);
  result.writes = collect_writes(row, values);
  return result;
}

Result<std::vector<OracleWrite>> update(const vflow::Policy& policy, const LayerCache& cache, int64_t cache_pages,
                                        std::span<const int32_t> pages, OraclePrecision precision) {
  const StagePlan plan = plan_stages(policy.program.cache);
  std::vector<OracleWrite> result;
  for (int head = 0; head < cache.k.kv_heads && !pages.empty(); ++head) {
    PlanRow row;
    row.policy = &policy;
    row.graph = &policy.program.cache;
    row.plan = &plan;
    row.fields = field_views(policy, cache, cache_pages);
    row.kv_head = head;
    row.pages.assign(pages.begin(), pages.end());
    row.context.program = &policy.program;
    row.type = scalar_type(precision);
    for (OracleWrite& write : collect_writes(row, evaluate(row))) { result.push_back(std::move(write)); }
  }
  return result;
}

Result<std::vector<OracleRow>> select(const vflow::Policy& policy, const LayerCache& cache, int64_t cache_pages,
                                      const IndexerBatch& batch, OraclePrecision precision) {
  const StagePlan plan = plan_stages(policy.program.indexer);
  const vflow::Geometry& geometry = policy.program.geometry;
  std::vector<OracleRow> result;
  for (int index = 0; index < batch.requests * cache.k.kv_heads; ++index) {
    PlanRow row;
    row.policy = &policy;
    row.graph = &policy.program.indexer;
    row.plan = &plan;
    row.fields = field_views(policy, cache, cache_pages);
    row.kv_head = index % cache.k.kv_heads;
    row.type = scalar_type(precision);
    const int64_t size = static_cast<int64_t>(geometry.group) * geometry.head_dim;
    const std::vector<float> q(batch.q + index * size, batch.q + (index + 1) * size);
    row.q = tensor::round_to(at::tensor(q).reshape({1, geometry.group, geometry.head_dim}), vflow::Dtype::kBf16)
                .to(row.type);
    result.push_back(select_row(std::move(row), batch, index / cache.k.kv_heads));
  }
  return result;
}

}  // namespace

Result<std::vector<OracleWrite>> oracle_update(const vflow::Policy& policy, const LayerCache& cache,
                                               int64_t cache_pages, std::span<const int32_t> pages,
                                               OraclePrecision precision) {
  try {
    return update(policy, cache, cache_pages, pages, precision);
  } catch (const std::exception& error) {
    return internal_error("the oracle failed on forward_cache: " + std::string(error.what()));
  }
}

Result<std::vector<OracleRow>> oracle_select(const vflow::Policy& policy, const LayerCache& cache, int64_t cache_pages,
                                             const IndexerBatch& batch, OraclePrecision precision) {
  try {
    return select(policy, cache, cache_pages, batch, precision);
  } catch (const std::exception& error) {
    return internal_error("the oracle failed on forward_indexer: " + std::string(error.what()));
  }
}

}  // namespace vortex::compile
