#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/vflow/source.h"

namespace vortex::vflow {

// The accepted Python subset as a tree. Nodes live in a Module and point at each other; names point into the source.

enum class ExprKind : uint8_t {
  kError,  // already reported; stands for an unknown value
  kNone,
  kBool,
  kInteger,
  kFloat,
  kString,
  kFString,    // items: kString and kFormatted parts, in order
  kFormatted,  // items[0] with the format `text`
  kName,
  kAttribute,  // items[0].name
  kSubscript,  // items[0][items[1]]
  kSlice,      // items: start, stop, step; null when left out
  kCall,       // items[0](items[1...], keywords)
  kTuple,
  kList,
  kDict,     // items: key, value, key, value, ...
  kUnary,    // op items[0]
  kBinary,   // items[0] op items[1]
  kCompare,  // items[0] operators[0] items[1] operators[1] items[2] ...
  kAnd,
  kOr,
  kConditional,  // items[0] if items[1] else items[2]
  kListComp,     // items[0] for loops; also generator expressions
  kDictComp,     // items[0]: items[1] for loops
};

enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kNegate,
  kPlus,
  kNot,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
  kIs,
  kIsNot,
};

struct Expr;

struct Keyword {
  std::string_view name;
  Span span;
  Expr* value = nullptr;
};

// One `for target in iterable if condition ...` of a comprehension.
struct Loop {
  Expr* target = nullptr;
  Expr* iterable = nullptr;
  std::vector<Expr*> conditions;
};

struct Expr {
  ExprKind kind = ExprKind::kError;
  Span span;
  Operator op = Operator::kAdd;
  int64_t integer = 0;    // kInteger, kBool
  double real = 0;        // kFloat
  std::string_view name;  // kName, kAttribute
  std::string text;       // kString, decoded
  std::vector<Expr*> items;
  std::vector<Operator> operators;  // kCompare
  std::vector<Keyword> keywords;    // kCall
  std::vector<Loop> loops;          // comprehensions
};

enum class StmtKind : uint8_t {
  kError,   // already reported; whatever it defined is unknown
  kImport,  // import names
  kFromImport,
  kClass,
  kFunction,
  kExpression,  // values[0]
  kAssign,      // targets = values[0], also annotated; no values: a bare annotation
  kAugmented,   // targets[0] op= values[0]
  kReturn,      // values[0] if any
  kRaise,       // values[0] if any
  kAssert,      // values[0], message values[1] if any
  kIf,          // if values[0]: body else: orelse
  kFor,         // for targets[0] in values[0]: body
  kPass,
  kBreak,
  kContinue,
};

struct Alias {
  std::string_view name;  // as in the module, dotted for `import a.b`
  std::string_view as;    // what it is called here
  Span span;
};

struct Param {
  std::string_view name;
  Span span;
  Expr* default_value = nullptr;
  Expr* annotation = nullptr;
};

struct Stmt {
  StmtKind kind = StmtKind::kError;
  Span span;  // of a compound statement: its first line
  Operator op = Operator::kAdd;
  std::string_view name;  // class, function, imported module
  Span name_span;
  std::vector<Expr*> targets;
  std::vector<Expr*> values;  // class: the bases
  std::vector<Stmt*> body;
  std::vector<Stmt*> orelse;
  std::vector<Alias> aliases;
  std::vector<Param> params;
  std::vector<Expr*> decorators;
  Expr* annotation = nullptr;  // of an assignment, or of a function's result
};

struct Module {
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  std::vector<Stmt*> body;
};

}  // namespace vortex::vflow
