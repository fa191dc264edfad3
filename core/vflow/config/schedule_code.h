#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vortex::vflow {

enum class ScheduleOp : uint8_t {
  // values
  kConstant,
  kSlot,  // an input (0 to 4) or a local
  kNegate,
  kNot,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kEqual,
  kNotEqual,
  kAnd,
  kOr,
  kSelect,  // a ? b : c
  kMin,
  kMax,
  kAbs,
  kSqrt,
  kFloor,
  kCeil,
  kLog2,
  kToInt,
  kToFloat,
  // statements
  kAssign,  // slot = a
  kReturn,  // a
  kIf,      // if (a) b else c
  kBlock,   // a then b
  kEmpty,
};

// A node of a compiled budget rule; operands are indices of earlier nodes, -1 when absent.
struct ScheduleNode {
  ScheduleOp op = ScheduleOp::kEmpty;
  bool is_float = false;  // the type of the value
  int a = -1;
  int b = -1;
  int c = -1;
  int slot = 0;
  double constant = 0;
};

struct ScheduleCode {
  std::vector<ScheduleNode> nodes;
  int root = -1;
  int slots = 0;
};

}  // namespace vortex::vflow
