#include <algorithm>

#include "base/text.h"
#include "core/vflow/check/check.h"
#include "core/vflow/quote.h"

namespace vortex::vflow {
namespace {

void check_terminal(const CheckInput& input) {
  const std::vector<Node>& nodes = input.trace.program.indexer.nodes;
  int first_line = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!is_terminal(nodes[i].op)) { continue; }
    if (first_line > 0) {
      input.module.error(
          input.trace.spans.indexer[i],
          {"two-terminals",
           "the pages were already selected in line " + std::to_string(first_line) + ": a policy selects once", "",
           "combine the scores with Add or Maximum before one topK, or join two TopK(k) with Union"});
      return;
    }
    first_line = nodes[i].pos.line;
  }
  if (first_line == 0) {
    input.module.error(
        input.trace.forward_indexer,
        {"no-terminal", "forward_indexer never selects pages", "exactly one call of topK, approxTopK or Union",
         "end with self.output_func(score, o, ctx=ctx), where self.output_func = topK()"});
  }
}

void check_fields(const CheckInput& input) {
  const Program& program = input.trace.program;
  const std::vector<FieldUse> uses = field_uses(program);
  bool any_written = false;
  bool any_read = false;
  for (size_t i = 0; i < uses.size(); ++i) {
    if (program.fields[i].builtin) { continue; }
    any_written = any_written || uses[i].stored || uses[i].filled;
    any_read = any_read || uses[i].read || uses[i].loaded;
  }
  if (!any_written) {
    input.module.error(
        input.trace.forward_cache,
        {"empty-cache-program", "forward_cache writes no field; vortex_torch cannot compile an empty cache program", "",
         "a policy without summaries declares {\"unused\": (1, 1)} and fills it: Fill(0.0)(cache[\"unused\"], loc=loc, "
         "ctx=ctx)"});
  }
  for (size_t i = 0; i < uses.size(); ++i) {
    const FieldUse& use = uses[i];
    if (program.fields[i].builtin) { continue; }
    const std::string name = "field " + quote(program.fields[i].name);
    const Span span = input.trace.fields[i];
    const bool written = use.stored || use.filled;
    const bool read = use.read || use.loaded;
    if (!written && read && use.saved) {
      input.module.error(
          span, {"state-not-initialised",
                 name + " is carried over steps but never initialised: a page starts with what its last owner left", "",
                 "fill it in forward_cache: self.init = CFill(alpha=0.0), then self.init(cache[" +
                     quote(program.fields[i].name) + "], loc=loc, ctx=ctx)"});
    } else if (!written && !use.saved && read) {
      input.module.error(
          span, {"field-never-written", name + " is read but nothing writes it", "",
                 "write it in forward_cache: op(x, cache[" + quote(program.fields[i].name) + "], loc=loc, ctx=ctx)"});
    } else if (!written && !use.saved) {
      input.module.warn(span, {"field-unused", name + " is declared but neither written nor read", "",
                               "remove it: every field costs memory in every page"});
    } else if (!read && !(use.filled && !any_read)) {
      // A policy that needs no summaries fills a field of its own that nobody reads.
      input.module.warn(span, {"field-never-read", name + " is written but never read", "",
                               "remove it, or use it in forward_indexer"});
    }
  }
}

// With vortex_torch's default beta = 0 some operations do not look at their exponent, and its sign is not the usual
// one.
void check_degenerate(const Graph& graph, const std::vector<Span>& spans, Reporter& module) {
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const OpInfo& info = op_info(graph.nodes[i].op);
    const double beta = graph.nodes[i].attrs.beta;
    if (info.degenerate.what.empty() || beta < 0) { continue; }
    const std::string name(info.name);
    const Finding finding =
        beta == 0 ? Finding{"degenerate", name + " with beta = 0 " + std::string(info.degenerate.what)}
                  : Finding{"falls", name + " with beta = " + format_number(beta) +
                                         " falls towards 0 where its operand is large: its exponent is beta*x + alpha"};
    module.warn(spans[i], {finding.code, finding.message, "", std::string(info.degenerate.hint)});
  }
}

}  // namespace

std::vector<FieldUse> field_uses(const Program& program) {
  std::vector<FieldUse> uses(program.fields.size());
  for (const Graph* graph : {&program.cache, &program.indexer}) {
    for (const Node& node : graph->nodes) {
      if (node.attrs.field < 0) { continue; }
      FieldUse& use = uses[static_cast<size_t>(node.attrs.field)];
      use.stored = use.stored || node.op == Op::kStore;
      use.filled = use.filled || node.op == Op::kFill;
      use.saved = use.saved || node.op == Op::kSave;
      use.loaded = use.loaded || node.op == Op::kLoad;
      use.read = use.read || node.op == Op::kField;
    }
  }
  return uses;
}

void check_program(const CheckInput& input) {
  check_terminal(input);
  check_fields(input);
  check_degenerate(input.trace.program.cache, input.trace.spans.cache, input.module);
  check_degenerate(input.trace.program.indexer, input.trace.spans.indexer, input.module);
  // A field that nobody writes would make its scores look constant.
  if (input.module.errors() == 0) { check_scores(input); }
}

}  // namespace vortex::vflow
