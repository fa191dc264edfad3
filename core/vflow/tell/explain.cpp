#include "core/vflow/tell/explain.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/percent.h"
#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/tell/cost.h"
#include "core/vflow/tell/formula.h"

namespace vortex::vflow {
namespace {

// "1.83 MB", "57.3 kflop": three digits with a metric prefix.
std::string quantity(double value, const char* unit) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T"};
  int prefix = 0;
  while (value >= 999.5 && prefix < 4) {
    value /= 1000;
    ++prefix;
  }
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s%s", value, kPrefixes[prefix], unit);
  return text;
}

// "Layer 0 of 28 is dense."
std::string layer_text(const EngineConfig& config, const ModelGeometry& model) {
  std::vector<std::string> dense;
  for (int layer = 0; layer < model.layers; ++layer) {
    if (layer_is_dense(config, layer)) { dense.push_back(std::to_string(layer)); }
  }
  if (dense.empty()) { return "No layer of " + std::to_string(model.layers) + " is dense."; }
  return (dense.size() == 1 ? "Layer " : "Layers ") + join(dense, ", ") + " of " + std::to_string(model.layers) +
         (dense.size() == 1 ? " is dense." : " are dense.");
}

// What the formulas leave open: which value a read sees where a field has more than one, and which pages an operation
// over pages looks at.
std::vector<std::string> reading_notes(const Program& program) {
  std::vector<std::string> notes;
  const auto add = [&](const std::string& note) {
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) { notes.push_back(note); }
  };
  const auto name = [&](const Node& node) { return program.fields[static_cast<size_t>(node.attrs.field)].name; };
  const std::vector<Node>& cache = program.cache.nodes;
  for (const Node& store : cache) {
    if (store.op != Op::kStore) { continue; }
    for (const Node& node : cache) {
      const bool reads = node.op != Op::kStore &&
                         std::find(node.inputs.begin(), node.inputs.end(), store.inputs[0]) != node.inputs.end();
      if (reads) { add("What reads " + name(store) + " while a page is summarised sees the value made there."); }
    }
  }
  const std::vector<Node>& indexer = program.indexer.nodes;
  for (const Node& save : indexer) {
    if (save.op == Op::kSave) {
      add("What reads " + name(save) +
          " while pages are scored sees the value from before this step; its end saves the "
          "new one.");
    }
  }
  for (const Node& node : indexer) {
    if (node.op != Op::kConv1d) { continue; }
    const auto taps = program.constants[static_cast<size_t>(node.attrs.constant)].dims[0];
    add("conv1d is causal: a page's value is made of its own and of the " + std::to_string(taps - 1) +
        " before it, among the middle pages.");
  }
  return notes;
}

std::string selection_text(const Policy& policy) {
  const EngineConfig& config = policy.config;
  std::string text = "Attends, per kv head: ";
  if (config.reserved_bos > 0) { text += "the first " + std::to_string(config.reserved_bos) + " and "; }
  text += "the last " + std::to_string(config.reserved_eos) + " pages of " + std::to_string(config.block_size) +
          " tokens, and between them ";
  std::vector<std::string> tables;
  for (const Node& node : pruned(policy.program).indexer.nodes) {
    if (node.op == Op::kTopKTable) { tables.push_back("the best " + std::to_string(node.attrs.k)); }
  }
  if (!tables.empty()) { return text + join(tables, " by one score and ") + " by the other.\n"; }
  if (!config.schedule.is_default()) { return text + "the best as far as the schedule policy's budget goes.\n"; }
  text += "the best " + std::to_string(config.topk_val);
  if (config.topk_ratio > 0) { text += " (in all at least " + percent(config.topk_ratio) + " of the pages)"; }
  return text + ".\n";
}

std::string line(const std::string& name, double dense, double policy, const char* unit) {
  return "  " + name + std::string(name.size() < 26 ? 26 - name.size() : 1, ' ') + quantity(policy, unit) +
         "   dense: " + quantity(dense, unit) + "   (" + percent(dense > 0 ? policy / dense : 0) + ")\n";
}

// What each of the many scored pages takes: where a policy is dear.
std::string page_text(const DecodeCost& cost) {
  const PageCost& page = cost.page;
  std::string text = "  a scored page, a kv head: reads " + quantity(page.read_bytes, "B");
  if (page.saved_bytes > 0) { text += ", saves " + quantity(page.saved_bytes, "B"); }
  text += ", computes " + quantity(page.flops, "flop");
  if (page.special == 0) { return text + "\n"; }
  return text + ", with " + format_number(page.special) + " special functions\n  special functions         " +
         quantity(cost.special, "results") + "; on an H100 one takes about as long as reading a byte, or longer\n";
}

std::string cost_text(const DecodeCost& cost) {
  const double layers = cost.dense_layers + cost.sparse_layers;
  const double sparse = std::max(1, cost.sparse_layers);
  std::string text = "One decode step of one request at " + std::to_string(cost.context_tokens) + " tokens (" +
                     std::to_string(cost.pages) + " pages), attention alone:\n";
  if (cost.scored_pages == 0) {
    text += "  everything fits the budget: no page is scored and all are attended\n";
  } else {
    text += "  a row scores " + std::to_string(cost.scored_pages) + " pages and attends " +
            std::to_string(cost.selected_pages) + "\n";
  }
  const double sparse_bytes = cost.policy_bytes - cost.dense_layer_bytes;
  text += line("bytes, a sparse layer", cost.dense_bytes / layers, sparse_bytes / sparse, "B");
  text += line("bytes, all layers", cost.dense_bytes, cost.policy_bytes, "B");
  text += line("  selected pages", cost.dense_bytes, cost.selected_bytes, "B");
  text += line("  page summaries", cost.dense_bytes, cost.summary_bytes, "B");
  if (cost.state_bytes > 0) { text += line("  state written", cost.dense_bytes, cost.state_bytes, "B"); }
  text += line("  dense layers", cost.dense_bytes, cost.dense_layer_bytes, "B");
  const double sparse_flops = cost.policy_flops - cost.dense_flops * cost.dense_layers / layers;
  text += line("flops, a sparse layer", cost.dense_flops / layers, sparse_flops / sparse, "flop");
  text += line("flops, all layers", cost.dense_flops, cost.policy_flops, "flop");
  text += line("  scoring", cost.dense_flops, cost.score_flops, "flop");
  if (cost.scored_pages > 0) { text += page_text(cost); }
  char ratio[96];
  std::snprintf(ratio, sizeof ratio, "  moves %.3g times less than dense attention; fields add %.3g %% to KV memory\n",
                cost.byte_ratio(), 100 * cost.field_overhead);
  return text + ratio;
}

std::string node_attributes(const Program& program, const Node& node) {
  std::string text;
  for (const ArgInfo& arg : op_info(node.op).args) {
    switch (arg.arg) {
      case Arg::kKronAxes:
        text += " dim=" + std::string(node.attrs.kron_axes == 3 ? "(1, 2)" : std::to_string(node.attrs.kron_axes));
        break;
      case Arg::kWeight:
      case Arg::kValue:
        text += " constant " + std::to_string(node.attrs.constant);
        break;
      case Arg::kAlpha:
      case Arg::kBeta:
        if (!op_info(node.op).uses_alpha_beta) { break; }
        [[fallthrough]];
      case Arg::kDim:
      case Arg::kScale:
      case Arg::kTolerance:
      case Arg::kInterleave:
      case Arg::kCount:
      case Arg::kStart:
      case Arg::kEnd:
        text += " " + std::string(arg.name) + "=" + format_number(get_arg(node.attrs, arg.arg));
        break;
      case Arg::kLeading:
      case Arg::kRows:
      case Arg::kCols:
      case Arg::kLayerLookup:
      case Arg::kDtype:
      case Arg::kDevice:
        break;
    }
  }
  if (node.attrs.field >= 0) { text += " \"" + program.fields[static_cast<size_t>(node.attrs.field)].name + "\""; }
  return text;
}

std::string node_name(const Node& node) {
  if (node.op == Op::kQuery) { return "q"; }
  if (node.op == Op::kField) { return "field"; }
  if (node.op == Op::kStore) { return "store"; }
  return std::string(op_info(node.op).name);
}

std::string side_text(const Program& program, const Graph& graph) {
  std::string text;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    text += "  %" + std::to_string(i) + " = " + node_name(node) + node_attributes(program, node);
    std::vector<std::string> operands;
    for (int input : node.inputs) { operands.push_back("%" + std::to_string(input)); }
    if (!operands.empty()) { text += " (" + join(operands, ", ") + ")"; }
    text += " : " + shape_text(node.shape) + " " + std::string(format_name(node.format)) + "\n";
  }
  return text;
}

}  // namespace

std::string explain(const Policy& policy, const ModelGeometry& model, int context_tokens) {
  const int context = context_tokens > 0 ? context_tokens : model.max_context;
  std::string text = "Policy " + policy.program.name + "\n\n";
  for (const std::string& formula : formula_lines(policy.program)) { text += "  " + formula + "\n"; }
  for (const std::string& note : reading_notes(pruned(policy.program))) { text += "\n" + note; }
  text += "\n" + selection_text(policy);
  text += layer_text(policy.config, model) + "\n\n";
  return text + cost_text(decode_cost(policy, model, context));
}

std::string graph_text(const Program& program) {
  std::string text = "fields:\n";
  for (const Field& field : program.fields) {
    text += "  " + field.name + " " + shape_text(field.shape) + (field.builtin ? " (engine)" : "") + "\n";
  }
  return text + "cache, when a page is full:\n" + side_text(program, program.cache) + "indexer, every decode step:\n" +
         side_text(program, program.indexer);
}

}  // namespace vortex::vflow
