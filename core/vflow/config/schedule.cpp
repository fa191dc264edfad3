#include "core/vflow/config/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "core/vflow/config/schedule_parser.h"

namespace vortex::vflow {
namespace {

constexpr double kIntMin = std::numeric_limits<int32_t>::min();
constexpr double kIntMax = std::numeric_limits<int32_t>::max();

double saturate(double value) { return std::isnan(value) ? 0 : std::clamp(std::trunc(value), kIntMin, kIntMax); }

class Machine {
 public:
  Machine(const ScheduleCode& code, const ScheduleInputs& inputs)
      : code_(code), slots_(static_cast<size_t>(code.slots)) {
    const double values[] = {static_cast<double>(inputs.cached_block_len), static_cast<double>(inputs.topk_val),
                             static_cast<double>(static_cast<float>(inputs.topk_ratio)),
                             static_cast<double>(inputs.block_reserved_bos),
                             static_cast<double>(inputs.block_reserved_eos)};
    std::copy(std::begin(values), std::end(values), slots_.begin());
  }

  int run() {
    execute(code_.root);
    return static_cast<int>(whole(result_));
  }

  // The first thing on the way that C++ leaves undefined, or that is no number; null: all of it is defined.
  const char* fault() const { return fault_; }

 private:
  const ScheduleNode& at(int node) const { return code_.nodes[static_cast<size_t>(node)]; }

  // True once a return was reached.
  bool execute(int index) {
    if (index < 0) { return false; }
    const ScheduleNode& node = at(index);
    if (node.op == ScheduleOp::kReturn) {
      result_ = evaluate(node.a);
      return true;
    }
    if (node.op == ScheduleOp::kAssign) { slots_[static_cast<size_t>(node.slot)] = evaluate(node.a); }
    if (node.op == ScheduleOp::kIf) { return execute(evaluate(node.a) != 0 ? node.b : node.c); }
    return node.op == ScheduleOp::kBlock && (execute(node.a) || execute(node.b));
  }

  double evaluate(int index) {
    const ScheduleNode& node = at(index);
    if (node.op == ScheduleOp::kConstant) { return node.constant; }
    if (node.op == ScheduleOp::kSlot) { return slots_[static_cast<size_t>(node.slot)]; }
    if (node.op == ScheduleOp::kAnd) { return evaluate(node.a) != 0 && evaluate(node.b) != 0 ? 1 : 0; }
    if (node.op == ScheduleOp::kOr) { return evaluate(node.a) != 0 || evaluate(node.b) != 0 ? 1 : 0; }
    if (node.op == ScheduleOp::kSelect) { return evaluate(evaluate(node.a) != 0 ? node.b : node.c); }
    const double a = evaluate(node.a);
    const double b = node.b >= 0 ? evaluate(node.b) : 0;
    const double value = compute(node, a, b);
    // Every value is a double that holds an int32 or a float32 exactly; sums and products of int32 are exact in one.
    return node.is_float ? static_cast<double>(static_cast<float>(value)) : whole(value);
  }

  // As an int32: cut, and where it does not fit saturated.
  double whole(double value) {
    const double cut = std::trunc(value);
    if (!(cut >= kIntMin && cut <= kIntMax)) { note("overflows a 32-bit int"); }
    return saturate(value);
  }

  // Says what is wrong where `defined` does not hold.
  void demand(bool defined, const char* fault) {
    if (!defined) { note(fault); }
  }
  void note(const char* fault) {
    if (fault_ == nullptr) { fault_ = fault; }
  }

  double compute(const ScheduleNode& node, double a, double b) {
    switch (node.op) {
      case ScheduleOp::kNegate:
        return -a;
      case ScheduleOp::kNot:
        return a == 0 ? 1 : 0;
      case ScheduleOp::kAdd:
        return a + b;
      case ScheduleOp::kSubtract:
        return a - b;
      case ScheduleOp::kMultiply:
        return a * b;
      case ScheduleOp::kDivide:
        demand(b != 0, "divides by zero");
        return b == 0 ? 0 : a / b;
      case ScheduleOp::kModulo:
        demand(b != 0, "divides by zero");
        return b == 0 ? 0 : std::fmod(a, b);
      case ScheduleOp::kLess:
        return a < b ? 1 : 0;
      case ScheduleOp::kLessEqual:
        return a <= b ? 1 : 0;
      case ScheduleOp::kGreater:
        return a > b ? 1 : 0;
      case ScheduleOp::kGreaterEqual:
        return a >= b ? 1 : 0;
      case ScheduleOp::kEqual:
        return a == b ? 1 : 0;
      case ScheduleOp::kNotEqual:
        return a != b ? 1 : 0;
      case ScheduleOp::kMin:
        return std::min(a, b);
      case ScheduleOp::kMax:
        return std::max(a, b);
      case ScheduleOp::kAbs:
        return std::fabs(a);
      case ScheduleOp::kSqrt:
        demand(a >= 0, "takes the square root of a negative number");
        return a < 0 ? 0 : std::sqrt(a);
      case ScheduleOp::kFloor:
        return std::floor(a);
      case ScheduleOp::kCeil:
        return std::ceil(a);
      case ScheduleOp::kLog2:
        demand(a > 0, "takes the logarithm of a number that is not positive");
        return a <= 0 ? 0 : std::log2(a);
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
    return 0;
  }

  const ScheduleCode& code_;
  std::vector<double> slots_;
  double result_ = 0;
  const char* fault_ = nullptr;
};

int default_budget(const ScheduleInputs& inputs) {
  const int64_t reserved =
      static_cast<int64_t>(inputs.topk_val) + inputs.block_reserved_bos + inputs.block_reserved_eos;
  const float share = static_cast<float>(inputs.cached_block_len) * static_cast<float>(inputs.topk_ratio);
  return static_cast<int>(std::max(saturate(static_cast<double>(reserved)), saturate(static_cast<double>(share))));
}

void print(const ScheduleCode& code, int index, std::string& text) {
  if (index < 0) {
    text += '_';
    return;
  }
  const ScheduleNode& node = code.nodes[static_cast<size_t>(index)];
  text += '(' + std::to_string(static_cast<int>(node.op)) + (node.is_float ? "f" : "");
  if (node.op == ScheduleOp::kConstant) { text += ' ' + format_number(node.constant); }
  if (node.op == ScheduleOp::kSlot || node.op == ScheduleOp::kAssign) { text += " s" + std::to_string(node.slot); }
  for (int operand : {node.a, node.b, node.c}) {
    if (operand < 0) { continue; }
    text += ' ';
    print(code, operand, text);
  }
  text += ')';
}

}  // namespace

Schedule Schedule::compile(std::string_view source, std::string_view name, std::vector<Diagnostic>& diagnostics) {
  Schedule schedule;
  const Source text(name, source);
  Reporter reporter(text, diagnostics);
  schedule.code_ = parse_schedule(reporter);
  return schedule;
}

int Schedule::budget(const ScheduleInputs& inputs) const {
  return code_ == nullptr ? default_budget(inputs) : Machine(*code_, inputs).run();
}

std::optional<std::string> Schedule::fault(const ScheduleInputs& inputs) const {
  if (code_ == nullptr) { return std::nullopt; }
  Machine machine(*code_, inputs);
  machine.run();
  return machine.fault() == nullptr ? std::nullopt : std::optional<std::string>(machine.fault());
}

std::string Schedule::canonical() const {
  if (code_ == nullptr) { return "default"; }
  std::string text;
  print(*code_, code_->root, text);
  return text;
}

}  // namespace vortex::vflow
