#include "core/compile/stages.h"

#include <algorithm>

#include "base/text.h"
#include "core/vflow/graph/op_table.h"

namespace vortex::compile {

using vflow::Graph;
using vflow::Node;
using vflow::Op;
using vflow::OpKind;
using vflow::Reach;

namespace {

const Node& at(const Graph& graph, int index) { return graph.nodes[static_cast<size_t>(index)]; }

bool is_root(Op op) { return vflow::op_info(op).reach == Reach::kRoot; }

// Selections read all scores of a row.
bool over_rows(const Graph& graph, const Node& node) {
  return vflow::node_reach(graph, node) == Reach::kRow || chooses_pages(node.op);
}

std::vector<bool> live_nodes(const Graph& graph) {
  std::vector<bool> live(graph.nodes.size(), false);
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    live[i] = live[i] || is_root(graph.nodes[i].op);
    if (live[i]) {
      for (const int input : graph.nodes[i].inputs) { live[static_cast<size_t>(input)] = true; }
    }
  }
  return live;
}

std::string node_text(const Graph& graph, int index) {
  const Node& node = at(graph, index);
  std::string name(vflow::op_info(node.op).name);
  if (node.op == Op::kStore) { name = "Store"; }
  std::vector<std::string> operands;
  for (const int input : node.inputs) {
    const Op op = at(graph, input).op;
    operands.push_back(op == Op::kQuery   ? "q"
                       : op == Op::kField ? "field " + std::to_string(at(graph, input).attrs.field)
                                          : "%" + std::to_string(input));
  }
  return "%" + std::to_string(index) + " = " + name + "(" + join(operands, ", ") + ")";
}

}  // namespace

bool is_leaf(Op op) { return vflow::op_info(op).kind == OpKind::kLeaf; }

StagePlan plan_stages(const Graph& graph) {
  StagePlan plan;
  plan.live = live_nodes(graph);
  plan.stage_of.assign(graph.nodes.size(), -1);
  plan.kept.assign(graph.nodes.size(), false);
  std::vector<int> available(graph.nodes.size(), 0);  // the first stage in which a value can be read
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!plan.live[i] || is_leaf(node.op)) { continue; }
    int stage = 0;
    for (const int input : node.inputs) { stage = std::max(stage, available[static_cast<size_t>(input)]); }
    const bool row_op = over_rows(graph, node);
    plan.stage_of[i] = stage;
    available[i] = row_op ? stage + 1 : stage;
    plan.stages.resize(std::max(plan.stages.size(), static_cast<size_t>(stage) + 1));
    Stage& target = plan.stages[static_cast<size_t>(stage)];
    (row_op ? target.over_rows : target.fused).push_back(static_cast<int>(i));
    for (const int input : node.inputs) {
      if (reads_kept(graph, plan, static_cast<int>(i), input)) { plan.kept[static_cast<size_t>(input)] = true; }
    }
  }
  return plan;
}

bool reads_kept(const Graph& graph, const StagePlan& plan, int consumer, int producer) {
  if (is_leaf(at(graph, producer).op) || at(graph, producer).op == Op::kTopKTable) { return false; }
  return over_rows(graph, at(graph, consumer)) ||
         plan.stage_of[static_cast<size_t>(consumer)] > plan.stage_of[static_cast<size_t>(producer)];
}

vflow::Dtype kept_dtype(const Node& node, vflow::Dtype policy_dtype) {
  return vflow::op_info(node.op).kind == OpKind::kOverPages ? vflow::Dtype::kBf16 : policy_dtype;
}

std::string describe_stages(const Graph& graph, const StagePlan& plan, vflow::Dtype policy_dtype) {
  std::string text;
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    text += "stage " + std::to_string(s) + ":";
    std::vector<std::string> kept;
    for (const std::vector<int>* list : {&plan.stages[s].fused, &plan.stages[s].over_rows}) {
      text += list == &plan.stages[s].over_rows && !list->empty() ? " |" : "";
      for (const int index : *list) {
        text += " " + node_text(graph, index);
        if (plan.kept[static_cast<size_t>(index)]) {
          kept.push_back("%" + std::to_string(index) + ":" +
                         std::string(vflow::dtype_name(kept_dtype(at(graph, index), policy_dtype))));
        }
      }
    }
    text += kept.empty() ? "\n" : "; keeps " + join(kept, ", ") + "\n";
  }
  return text;
}

RowBudget row_budget(const vflow::EngineConfig& config, int blocks) {
  RowBudget budget;
  const int selected = std::max(1, vflow::selected_blocks(config, blocks));
  if (selected >= blocks) { return budget; }
  budget.everything_fits = false;
  budget.eos = std::min(config.reserved_eos, selected);
  budget.bos = std::min(config.reserved_bos, selected - budget.eos);
  const int middle_pages = std::max(0, blocks - config.reserved_bos - config.reserved_eos);
  budget.middle = std::clamp(selected - config.reserved_bos - config.reserved_eos, 0, middle_pages);
  return budget;
}

}  // namespace vortex::compile
