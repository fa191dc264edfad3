#include "web/server/structure.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "core/model/model.h"
#include "core/vflow/diagnostics.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"

namespace vortex::web {
namespace {

using nlohmann::json;

const char* kind_of(const vflow::Graph& graph, const vflow::Node& node) {
  if (node.op == vflow::Op::kLoad) { return "leaf"; }
  switch (vflow::node_reach(graph, node)) {
    case vflow::Reach::kLeaf:
      return "leaf";
    case vflow::Reach::kRow:
      return "row";
    case vflow::Reach::kRoot:
      return "root";
    case vflow::Reach::kPage:
      break;
  }
  return "page";
}

std::string title_of(const vflow::Program& program, const vflow::Node& node) {
  if (node.op == vflow::Op::kQuery) { return "q"; }
  const bool has_field = node.attrs.field >= 0;
  const std::string field = has_field ? program.fields[static_cast<size_t>(node.attrs.field)].name : "";
  if (node.op == vflow::Op::kField) { return field; }
  if (node.op == vflow::Op::kStore) { return "write " + field; }
  std::string title(vflow::op_info(node.op).name);
  for (const vflow::ArgInfo& arg : vflow::op_info(node.op).args) {
    const double value = vflow::get_arg(node.attrs, arg.arg);
    if (arg.default_value && value == *arg.default_value) { continue; }
    if (value == 0 && arg.arg != vflow::Arg::kDim) {
      continue;  // it has no number, or is left at nothing
    }
    title += " " + std::string(arg.name) + "=" + format_number(value);
  }
  return has_field ? title + " " + field : title;
}

json side_json(const vflow::Program& program, const vflow::Graph& graph, const char* name) {
  json nodes = json::array();
  for (const vflow::Node& node : graph.nodes) {
    nodes.push_back({{"title", title_of(program, node)},
                     {"detail", vflow::shape_text(node.shape) + " " + std::string(vflow::format_name(node.format))},
                     {"kind", kind_of(graph, node)},
                     {"inputs", node.inputs}});
  }
  return {{"side", name}, {"nodes", std::move(nodes)}};
}

// The strongest eigenvector of a symmetric matrix, and its eigenvalue.
std::pair<std::vector<double>, double> strongest(const std::vector<double>& matrix, size_t n) {
  std::vector<double> vector(n);
  for (size_t i = 0; i < n; ++i) { vector[i] = std::sin(1.0 + static_cast<double>(i)); }
  double value = 0;
  for (int turn = 0; turn < 200; ++turn) {
    std::vector<double> next(n, 0.0);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) { next[i] += matrix[i * n + j] * vector[j]; }
    }
    double norm = 0;
    for (double x : next) { norm += x * x; }
    norm = std::sqrt(norm);
    if (norm < 1e-12) { return {std::vector<double>(n, 0.0), 0}; }
    value = 0;
    for (size_t i = 0; i < n; ++i) { value += vector[i] * next[i]; }
    for (size_t i = 0; i < n; ++i) { vector[i] = next[i] / norm; }
  }
  return {vector, value};
}

}  // namespace

Result<vflow::ModelGeometry> geometry_of_run(const study::SearchOptions& options) {
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(options.job.model_path));
  return model::geometry_of(config, std::max(config.max_position_embeddings, 4096), 0);
}

Result<vflow::Policy> traced_policy(const study::CandidateFiles& files, const study::SearchOptions& options) {
  VORTEX_ASSIGN(const vflow::ModelGeometry geometry, geometry_of_run(options));
  vflow::CheckReport report = vflow::check_policy({files.module_text, files.config_text}, geometry);
  if (!report.policy) { return candidate_error("the policy does not check:\n" + vflow::render(report.diagnostics)); }
  return std::move(*report.policy);
}

json graph_json(const vflow::Program& program) {
  const vflow::Program live = vflow::pruned(program);
  return json::array({side_json(live, live.cache, "once a page, when it is full"),
                      side_json(live, live.indexer, "every decode step")});
}

std::vector<int> near_order(const std::vector<double>& matrix, size_t n) {
  std::vector<int> order;
  if (n == 0) { return order; }
  size_t at = 0;
  for (size_t k = 0; k < n * n; ++k) { at = matrix[k] > matrix[at] ? k : at; }
  size_t last = at / n;
  std::vector<bool> used(n, false);
  for (;;) {
    used[last] = true;
    order.push_back(static_cast<int>(last));
    if (order.size() == n) { return order; }
    size_t best = n;
    for (size_t i = 0; i < n; ++i) {
      if (!used[i] && (best == n || matrix[last * n + i] < matrix[last * n + best])) { best = i; }
    }
    last = best;
  }
}

std::vector<std::pair<double, double>> plane_of(const std::vector<double>& matrix, size_t n) {
  std::vector<double> centred(n * n);  // -1/2 of the squared distances, rows and columns with mean 0
  std::vector<double> mean(n, 0.0);
  double all = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) { mean[i] += matrix[i * n + j] * matrix[i * n + j] / static_cast<double>(n); }
    all += mean[i] / static_cast<double>(n);
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      centred[i * n + j] = -0.5 * (matrix[i * n + j] * matrix[i * n + j] - mean[i] - mean[j] + all);
    }
  }
  const auto [x, x_value] = strongest(centred, n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) { centred[i * n + j] -= x_value * x[i] * x[j]; }
  }
  const auto [y, y_value] = strongest(centred, n);
  std::vector<std::pair<double, double>> places;
  for (size_t i = 0; i < n; ++i) {
    places.emplace_back(x[i] * std::sqrt(std::max(0.0, x_value)), y[i] * std::sqrt(std::max(0.0, y_value)));
  }
  return places;
}

}  // namespace vortex::web
