#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/model/jinja/value.h"

namespace vortex::model::jinja {

enum class ExprKind {
  kConst,      // value
  kName,       // name
  kList,       // items
  kTuple,      // items
  kDict,       // items: key, value, key, value, ...
  kAttribute,  // items[0].name
  kItem,       // items[0][items[1]]
  kSlice,      // items[0][items[1]:items[2]:items[3]], each but the first may be null
  kCall,       // items[0](items[1], ...), names[i]: keyword of items[i] or ""
  kFilter,     // items[0] | name(items[1], ...), names as kCall; items[0] is null in a block's filter
  kTest,       // items[0] is name(items[1], ...)
  kNot,
  kNegative,
  kPositive,
  kBinary,       // items[0] name items[1]: + - * / // %
  kConcat,       // items joined by ~
  kCompare,      // items[0] names[1] items[1] names[2] items[2] ...
  kAnd,          // items[0], items[1]
  kOr,           // items[0], items[1]
  kConditional,  // items[0] if items[1] else items[2], which may be null
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::kConst;
  int line = 1;
  int depth = 1;  // of nesting
  std::string name;
  Value value;
  std::vector<ExprPtr> items;
  std::vector<std::string> names;
};

// What an assignment writes: a variable, or with `attribute` a member of a namespace.
struct Target {
  std::string name;
  std::string attribute;
};

enum class StmtKind {
  kText,         // text
  kOutput,       // exprs[0]
  kIf,           // if exprs[i]: bodies[i]; one more body than exprs: else
  kFor,          // for targets in exprs[0] if exprs[1] (or null): bodies[0], else bodies[1]
  kSet,          // targets = exprs[0]
  kSetBlock,     // targets[0] = text of bodies[0], through the filter exprs[0] (or null)
  kMacro,        // text is its name, targets its parameters, exprs their defaults (or null)
  kFilterBlock,  // text of bodies[0] through the filter exprs[0]
  kScope,        // bodies[0] in a scope of its own, with targets[i] = exprs[i]
  kBreak,
  kContinue,
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 1;
  std::string text;
  std::vector<Target> targets;
  std::vector<ExprPtr> exprs;
  std::vector<std::vector<Stmt>> bodies;
};

// A parsed template. The nesting of its statements and expressions is bounded.
Result<std::vector<Stmt>> parse(std::string_view source);

}  // namespace vortex::model::jinja
