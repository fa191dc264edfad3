#include "core/compile/cuda/budget.h"

#include <algorithm>
#include <cstdio>

#include "core/compile/cuda/expressions.h"
#include "core/vflow/config/schedule_code.h"

namespace vortex::compile {

using vflow::ScheduleNode;
using vflow::ScheduleOp;

namespace {

std::string double_literal(double x) {
  char text[48];
  std::snprintf(text, sizeof(text), "%.17g", x);
  std::string result = text;
  return result.find_first_of(".en") == std::string::npos ? result + ".0" : result;
}

class BudgetWriter {
 public:
  explicit BudgetWriter(const vflow::ScheduleCode& code) : code_(code) {}

  std::string statement(int index, int depth) const {
    if (index < 0) { return ""; }
    const ScheduleNode& n = at(index);
    const std::string indent(static_cast<size_t>(depth) * 2, ' ');
    if (n.op == ScheduleOp::kReturn) { return indent + "return static_cast<int>(as_int(" + value(n.a) + "));\n"; }
    if (n.op == ScheduleOp::kAssign) { return indent + slot(n.slot) + " = " + value(n.a) + ";\n"; }
    if (n.op == ScheduleOp::kIf) {
      return indent + "if (" + value(n.a) + " != 0.0) {\n" + statement(n.b, depth + 1) + indent + "} else {\n" +
             statement(n.c, depth + 1) + indent + "}\n";
    }
    return n.op == ScheduleOp::kBlock ? statement(n.a, depth) + statement(n.b, depth) : "";
  }

  static std::string slot(int index) { return "s" + std::to_string(index); }

 private:
  const ScheduleNode& at(int index) const { return code_.nodes[static_cast<size_t>(index)]; }

  std::string value(int index) const {
    const ScheduleNode& n = at(index);
    const auto holds = [&](int operand) { return value(operand) + " != 0.0"; };
    if (n.op == ScheduleOp::kConstant) { return "(" + double_literal(n.constant) + ")"; }
    if (n.op == ScheduleOp::kSlot) { return slot(n.slot); }
    if (n.op == ScheduleOp::kAnd) { return "truth(" + holds(n.a) + " && " + holds(n.b) + ")"; }
    if (n.op == ScheduleOp::kOr) { return "truth(" + holds(n.a) + " || " + holds(n.b) + ")"; }
    if (n.op == ScheduleOp::kSelect) { return "(" + holds(n.a) + " ? " + value(n.b) + " : " + value(n.c) + ")"; }
    return (n.is_float ? "as_float(" : "as_int(") + computed(n) + ")";
  }

  std::string computed(const ScheduleNode& n) const {
    const std::string a = value(n.a);
    const std::string b = n.b >= 0 ? value(n.b) : "0.0";
    const auto between = [&](const char* sign) { return a + " " + sign + " " + b; };
    const auto test = [&](const char* sign) { return "truth(" + between(sign) + ")"; };
    const auto call = [&](const char* name) { return std::string(name) + "(" + a + (n.b >= 0 ? ", " + b : "") + ")"; };
    switch (n.op) {
      case ScheduleOp::kNegate:
        return "-" + a;
      case ScheduleOp::kNot:
        return "truth(" + a + " == 0.0)";
      case ScheduleOp::kAdd:
        return between("+");
      case ScheduleOp::kSubtract:
        return between("-");
      case ScheduleOp::kMultiply:
        return between("*");
      case ScheduleOp::kDivide:
        return call("quotient");
      case ScheduleOp::kModulo:
        return call("remainder_of");
      case ScheduleOp::kLess:
        return test("<");
      case ScheduleOp::kLessEqual:
        return test("<=");
      case ScheduleOp::kGreater:
        return test(">");
      case ScheduleOp::kGreaterEqual:
        return test(">=");
      case ScheduleOp::kEqual:
        return test("==");
      case ScheduleOp::kNotEqual:
        return test("!=");
      case ScheduleOp::kMin:
        return call("smaller");
      case ScheduleOp::kMax:
        return call("larger");
      case ScheduleOp::kAbs:
        return call("fabs");
      case ScheduleOp::kSqrt:
        return call("square_root");
      case ScheduleOp::kFloor:
        return call("floor");
      case ScheduleOp::kCeil:
        return call("ceil");
      case ScheduleOp::kLog2:
        return call("binary_logarithm");
      case ScheduleOp::kToInt:
      case ScheduleOp::kToFloat:
        return a;  // the rounding to the node's type does the work
      case ScheduleOp::kConstant:
      case ScheduleOp::kSlot:
      case ScheduleOp::kAnd:
      case ScheduleOp::kOr:
      case ScheduleOp::kSelect:
      case ScheduleOp::kAssign:
      case ScheduleOp::kIf:
      case ScheduleOp::kBlock:
      case ScheduleOp::kReturn:
      case ScheduleOp::kEmpty:
        break;  // not computed from their operands' values alone
    }
    return "";
  }

  const vflow::ScheduleCode& code_;
};

constexpr const char* kHead = "__device__ inline int budget(int blocks, int topk_val) {\n";

std::string default_rule(const vflow::EngineConfig& config) {
  return std::string(kHead) + "  const float share = static_cast<float>(blocks) * " +
         float_literal(static_cast<float>(config.topk_ratio)) +
         ";\n  return max(with_reserved(topk_val), static_cast<int>(as_int(share)));\n}\n";
}

}  // namespace

std::string emit_budget(const vflow::EngineConfig& config) {
  const vflow::ScheduleCode* code = config.schedule.code();
  if (code == nullptr) { return default_rule(config); }
  const BudgetWriter writer(*code);
  const std::string inputs[] = {"static_cast<double>(blocks)", "static_cast<double>(topk_val)",
                                double_literal(static_cast<double>(static_cast<float>(config.topk_ratio))),
                                double_literal(static_cast<double>(config.reserved_bos)),
                                double_literal(static_cast<double>(config.reserved_eos))};
  std::string text = std::string("// vortex_schedule_policy; s0 ... s4 are its inputs\n") + kHead;
  for (int i = 0; i < code->slots; ++i) {
    text += "  double " + BudgetWriter::slot(i) + " = " +
            (i < static_cast<int>(std::size(inputs)) ? inputs[i] : std::string("0.0")) + ";\n";
  }
  return text + writer.statement(code->root, 1) + "  return 0;\n}\n";
}

}  // namespace vortex::compile
