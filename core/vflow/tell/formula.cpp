#include "core/vflow/tell/formula.h"

#include <cctype>
#include <cmath>
#include <limits>

#include "base/escape.h"
#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"

namespace vortex::vflow {
namespace {

std::string axis(int dim) { return dim == 0 ? "[pages]" : dim == 1 ? "[rows]" : "[cols]"; }

// A name, a call or something in parentheses: what needs no more of them.
bool is_closed(const std::string& text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (depth == 0 && text[i] == ' ') { return false; }
  }
  return !text.empty() && text[0] != '-' && !std::isdigit(static_cast<unsigned char>(text[0]));
}

// "2*x + 1", leaving out what changes nothing.
std::string affine(double factor, const std::string& x, double offset) {
  std::string text = is_closed(x) || factor == 1 ? x : "(" + x + ")";
  if (factor == -1) {
    text = "-" + text;
  } else if (factor != 1) {
    text = format_number(factor) + "*" + text;
  }
  if (offset == 0) { return text; }
  return text + (offset < 0 ? " - " + format_number(-offset) : " + " + format_number(offset));
}

class FormulaWriter {
 public:
  explicit FormulaWriter(const Program& program) : program_(program) {}

  std::vector<std::string> run() {
    write_side(Side::kCache);
    write_side(Side::kIndexer);
    return std::move(lines_);
  }

 private:
  const Graph& graph(Side side) const { return side == Side::kCache ? program_.cache : program_.indexer; }

  void write_side(Side side) {
    const std::vector<Node>& nodes = graph(side).nodes;
    std::vector<int> uses(nodes.size());
    for (const Node& node : nodes) {
      for (int input : node.inputs) { ++uses[static_cast<size_t>(input)]; }
    }
    text_.assign(nodes.size(), "");
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = nodes[i];
      const std::string expression = write(node);
      if (op_info(node.op).reach == Reach::kRoot) {
        lines_.push_back(expression);
      } else if (!node.inputs.empty() && uses[i] > 1) {
        text_[i] = (side == Side::kCache ? "c" : "t") + std::to_string(++names_);
        lines_.push_back(text_[i] + " = " + expression);
      } else {
        text_[i] = expression;
      }
    }
  }

  const std::string& operand(const Node& node, size_t index) const {
    return text_[static_cast<size_t>(node.inputs[index])];
  }
  std::string grouped(const Node& node, size_t index) const {
    const std::string& text = operand(node, index);
    return is_closed(text) ? text : "(" + text + ")";
  }
  std::string arguments(const Node& node) const {
    std::vector<std::string> arguments;
    for (size_t i = 0; i < node.inputs.size(); ++i) { arguments.push_back(operand(node, i)); }
    return join(arguments, ", ");
  }

  // Fills the table's text for the operation: {x}, {y}, {all}: operands, {(x)}, {(y)}: in parentheses where they need
  // them; {affine}: beta * x + alpha; {scaled}: scale * x; {sum}: alpha * x + beta * y; {axis}, {axis by k}, {shape},
  // {field}, {recall}; an attribute by its name.
  std::string write(const Node& node) const {
    std::string_view text = op_info(node.op).expression;
    std::string result;
    while (!text.empty()) {
      const size_t open = text.find('{');
      result += text.substr(0, open);
      if (open == std::string_view::npos) { break; }
      const size_t close = text.find('}', open);
      result += part(node, text.substr(open + 1, close - open - 1));
      text.remove_prefix(close + 1);
    }
    return result;
  }

  std::string part(const Node& node, std::string_view key) const {
    const Attrs& attrs = node.attrs;
    if (key == "x") { return operand(node, 0); }
    if (key == "y") { return operand(node, 1); }
    if (key == "(x)") { return grouped(node, 0); }
    if (key == "(y)") { return grouped(node, 1); }
    if (key == "all") { return arguments(node); }
    if (key == "affine") { return affine(attrs.beta, operand(node, 0), attrs.alpha); }
    if (key == "scaled") { return affine(attrs.scale, operand(node, 0), 0); }
    if (key == "sum") {
      return affine(attrs.alpha, operand(node, 0), 0) + (attrs.beta < 0 ? " - " : " + ") +
             affine(std::abs(attrs.beta), grouped(node, 1), 0);
    }
    if (key == "axis") { return axis(attrs.dim); }
    if (key == "axis by k") { return axis(attrs.dim).insert(5, " by " + std::to_string(attrs.k)); }
    if (key == "shape") { return shape_text(node.shape); }
    if (key == "field") { return cpp_identifier(program_.fields[static_cast<size_t>(attrs.field)].name); }
    if (key == "recall") { return attrs.tolerance > 0 ? " recall >= " + format_number(1 - attrs.tolerance) : ""; }
    return format_number(attribute(attrs, key));
  }

  static double attribute(const Attrs& attrs, std::string_view key) {
    if (key == "alpha") { return attrs.alpha; }
    if (key == "beta") { return attrs.beta; }
    if (key == "k") { return attrs.k; }
    if (key == "start") { return attrs.start; }
    if (key == "end") { return attrs.end; }
    if (key == "constant") { return attrs.constant; }
    return std::numeric_limits<double>::quiet_NaN();  // no part that the table may name
  }

  const Program& program_;
  std::vector<std::string> text_;
  std::vector<std::string> lines_;
  int names_ = 0;
};

}  // namespace

std::vector<std::string> formula_lines(const Program& program) {
  const Program live = pruned(program);
  return FormulaWriter(live).run();
}

}  // namespace vortex::vflow
