#include <algorithm>

#include "core/vflow/check/check.h"
#include "core/vflow/graph/op_table.h"

namespace vortex::vflow {
namespace {

constexpr int kMaxExactPages = 4096;  // of flashinfer's radix select

std::string field_name(const Program& program, const Node& node) {
  return "\"" + program.fields[static_cast<size_t>(node.attrs.field)].name + "\"";
}

bool uses(const Node& node, int value) {
  return std::find(node.inputs.begin(), node.inputs.end(), value) != node.inputs.end();
}

// Of what a cache program makes, vortex_torch stores only what the same program does not use.
void check_stored_and_read(const CheckInput& input) {
  const Program& program = input.trace.program;
  const std::vector<Node>& nodes = program.cache.nodes;
  const std::vector<FieldUse> fields = field_uses(program);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op != Op::kStore) { continue; }
    const FieldUse& use = fields[static_cast<size_t>(nodes[i].attrs.field)];
    const int value = nodes[i].inputs[0];
    const bool read_again = std::any_of(nodes.begin(), nodes.end(),
                                        [&](const Node& node) { return node.op != Op::kStore && uses(node, value); });
    if (!read_again || !(use.read || use.loaded)) { continue; }
    input.module.warn(input.trace.spans.cache[i],
                      {"stored-and-read",
                       "field " + field_name(program, nodes[i]) +
                           " is read again in the pass that writes it: vortex_torch then never stores it, and its "
                           "indexer scores leftovers; here it is stored",
                       "",
                       "compute it twice: one operation that writes the field, one with output=None for what reads it "
                       "here; export prints it so"});
  }
}

// How many of vortex_torch's kernels over all pages have run before each node's.
std::vector<int> kernels_before(const Graph& graph) {
  std::vector<int> before(graph.nodes.size(), 0);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const int operand : graph.nodes[i].inputs) {
      const auto at = static_cast<size_t>(operand);
      const bool ends_kernel = node_reach(graph, graph.nodes[at]) == Reach::kRow;
      before[i] = std::max(before[i], before[at] + (ends_kernel ? 1 : 0));
    }
  }
  return before;
}

// A Save runs with the kernel of what it saves, so a read of the field itself in a later kernel finds the new value
// there. Here Save is the last that a step does; Load gives the old value in both.
void check_saved_and_read(const CheckInput& input) {
  const Program& program = input.trace.program;
  const std::vector<Node>& nodes = program.indexer.nodes;
  const std::vector<int> before = kernels_before(program.indexer);
  for (size_t save = 0; save < nodes.size(); ++save) {
    if (nodes[save].op != Op::kSave) { continue; }
    for (size_t i = 0; i < nodes.size(); ++i) {
      const bool reads = std::any_of(nodes[i].inputs.begin(), nodes[i].inputs.end(), [&](int operand) {
        const Node& read = nodes[static_cast<size_t>(operand)];
        return read.op == Op::kField && read.attrs.field == nodes[save].attrs.field;
      });
      if (!reads || before[i] <= before[save]) { continue; }
      input.module.warn(input.trace.spans.indexer[i],
                        {"saved-and-read",
                         "this reads field " + field_name(program, nodes[save]) +
                             " behind an operation over all pages: vortex_torch gives what Save stores in this step, "
                             "this runtime what was there before it",
                         "", "read it with Load(), which gives the value from before this step in both"});
    }
  }
}

// flashinfer's exact selection works on a row's pages within one block of threads.
void check_exact_selection(const CheckInput& input) {
  const std::vector<Node>& nodes = input.trace.program.indexer.nodes;
  const bool exact = std::any_of(nodes.begin(), nodes.end(), [](const Node& node) { return node.op == Op::kTopK; });
  if (!exact || passthrough(input.config, "vortex_attention_backend") == "\"trtllm\"") { return; }
  const int longest = input.config.max_seq_lens > 0 ? input.config.max_seq_lens : input.model.max_context;
  const int64_t pages = (int64_t{longest} + input.config.block_size - 1) / input.config.block_size;
  if (pages <= kMaxExactPages) { return; }
  const bool named = input.config_file.source().text().find("vortex_max_seq_lens") != std::string_view::npos;
  input.config_file.warn(
      key_span(input.config_file, named ? "vortex_max_seq_lens" : "vortex_block_size"),
      {"exact-topk-pages",
       "at " + std::to_string(longest) + " tokens a row has " + std::to_string(pages) + " pages of " +
           std::to_string(input.config.block_size) + " tokens; in vortex_torch flashinfer's exact topK takes at most " +
           std::to_string(kMaxExactPages),
       "", "there, use a larger vortex_block_size, approxTopK, the trtllm backend or a smaller vortex_max_seq_lens"});
}

}  // namespace

void check_upstream(const CheckInput& input) {
  check_stored_and_read(input);
  check_saved_and_read(input);
  check_exact_selection(input);
}

}  // namespace vortex::vflow
