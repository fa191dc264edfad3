#include "core/vflow/tell/formula.h"

#include <cctype>
#include <cmath>

#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/prune.h"

namespace vortex::vflow {
namespace {

std::string plain_name(const std::string& name) {
  std::string result;
  for (char c : name) result += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return result;
}

std::string axis(int dim) { return dim == 0 ? "[pages]" : dim == 1 ? "[rows]" : "[cols]"; }

// A name, a call or something in parentheses: what needs no more of them.
bool is_closed(const std::string& text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (depth == 0 && text[i] == ' ') return false;
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
  if (offset == 0) return text;
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
      for (int input : node.inputs) ++uses[static_cast<size_t>(input)];
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
  std::string call(const Node& node, const std::string& name) const {
    std::vector<std::string> arguments;
    for (size_t i = 0; i < node.inputs.size(); ++i) arguments.push_back(operand(node, i));
    return name + "(" + join(arguments, ", ") + ")";
  }
  std::string field(const Node& node) const {
    return plain_name(program_.fields[static_cast<size_t>(node.attrs.field)].name);
  }

  std::string write(const Node& node) const {
    const Attrs& attrs = node.attrs;
    const std::string name = lower_ascii(op_info(node.op).name);
    switch (node.op) {
      case Op::kQuery:
        return "q";
      case Op::kField:
      case Op::kLoad:
        return field(node);
      case Op::kParameter:
        return "W" + std::to_string(attrs.constant);
      case Op::kGemm:
      case Op::kGemv:
        return call(node, "dot");
      case Op::kMultiply:
        return grouped(node, 0) + " * " + grouped(node, 1);
      case Op::kAdd:
        return affine(attrs.alpha, operand(node, 0), 0) + (attrs.beta < 0 ? " - " : " + ") +
               affine(std::abs(attrs.beta), grouped(node, 1), 0);
      case Op::kMaximum:
        return call(node, "max");
      case Op::kMinimum:
        return call(node, "min");
      case Op::kReshape:
        return call(node, "reshape" + shape_text(node.shape));
      case Op::kStore:
        return field(node) + " = " + operand(node, 0);
      case Op::kSave:
        return field(node) + " <- " + operand(node, 0);
      case Op::kFill:
        return field(node) + " = " + format_number(attrs.alpha);
      case Op::kTopK:
      case Op::kApproxTopK:
      case Op::kUnion:
        return "select " + call(node, std::string(op_info(node.op).name)) +
               (attrs.tolerance > 0 ? " recall >= " + format_number(1 - attrs.tolerance) : "");
      default:
        return op_info(node.op).uses_alpha_beta ? write_elementwise(node) : write_along(node, name);
    }
  }

  std::string write_elementwise(const Node& node) const {
    const Attrs& attrs = node.attrs;
    const std::string& x = operand(node, 0);
    const std::string inner = affine(attrs.beta, x, attrs.alpha);
    switch (node.op) {
      case Op::kRelu:
        return "(" + x + " if >= " + format_number(attrs.alpha) + " else " + format_number(attrs.beta) + ")";
      case Op::kSigmoid:
        return "1/(1 + exp(" + inner + "))";
      case Op::kSilu:
        return grouped(node, 0) + "/(1 + exp(" + inner + "))";
      case Op::kAddMul:
        return "(" + inner + ")";
      case Op::kMaskSlice:
        return "mask" + axis(attrs.dim) + "(" + format_number(attrs.alpha) + " in " + std::to_string(attrs.start) +
               ".." + std::to_string(attrs.end) + ", else " + format_number(attrs.beta) + ")";
      default:
        return lower_ascii(op_info(node.op).name) + "(" + inner + ")";
    }
  }

  // Reductions, operations over pages, and whatever is just a function of its operands.
  std::string write_along(const Node& node, const std::string& name) const {
    for (const ArgInfo& arg : op_info(node.op).args) {
      if (arg.arg == Arg::kInterleave) {
        const std::string base = name.substr(0, name.find("interleave"));
        return call(node, base + axis(node.attrs.dim).insert(5, " by " + std::to_string(node.attrs.k)));
      }
      if (arg.arg == Arg::kCount) return call(node, "top" + std::to_string(node.attrs.k));
      if (arg.arg == Arg::kScale && node.attrs.scale != 1) {
        return name + "[pages](" + affine(node.attrs.scale, operand(node, 0), 0) + ")";
      }
    }
    for (const ArgInfo& arg : op_info(node.op).args) {
      if (arg.arg == Arg::kDim || arg.arg == Arg::kWeight) return call(node, name + axis(node.attrs.dim));
    }
    return call(node, name);
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
