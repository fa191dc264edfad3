#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/vflow/program.h"

namespace vortex::vflow {

// The one table of operations. Checking, documentation, the proposer's prompt, the mutator, the printer and the
// structural distance all read it. Adding an operation: one Op, one row here, its meaning in the oracle, one emit
// function a backend, and its cases.

// Does an operation stay inside one page ("W" in vortex_torch's schedule) or need all pages of a row ("S")?
enum class Reach : uint8_t { kLeaf, kPage, kRow, kRoot };

// Constructor arguments by the Attrs member they set, in positional order.
enum class Arg : uint8_t {
  kDim,
  kAlpha,
  kBeta,
  kScale,
  kTolerance,
  kInterleave,  // attrs.k
  kCount,       // attrs.k of TopK(k)
  kStart,
  kEnd,
  kKronAxes,
  kLeading,  // Reshape's first argument, always -1
  kRows,     // Reshape
  kCols,     // Reshape
  kWeight,   // Conv1d: nested list [K][D0][D1]
  kValue,    // Parameter
  kLayerLookup,
  kDtype,   // accepted and ignored: arithmetic is float32
  kDevice,  // accepted and ignored
};

struct ArgInfo {
  Arg arg;
  std::string_view name;                // keyword in source
  std::optional<double> default_value;  // absent: required (lists and axes have their own defaults)
};

struct OpInfo {
  Op op;
  std::string_view name;  // class name in source, e.g. "GeMM"; empty for leaves and kStore
  bool on_cache;
  bool on_indexer;
  Reach reach;                // as a rule; node_reach knows the exceptions
  int arity;                  // Node::inputs: without fields that are written or loaded, `o`, `output`, `loc` and `ctx`
  bool commutative;           // operands may be exchanged (with alpha and beta exchanged too for Add)
  bool uses_alpha_beta;       // false too where the constructor takes them and the operation ignores them
  std::vector<ArgInfo> args;  // of the constructor
  std::string_view formula;   // one line, plain text: what it computes
  std::string_view shape_rule;  // one line: what it takes and gives
};

const OpInfo& op_info(Op op);
std::span<const OpInfo> op_table();
// The operation that a source name means on one side.
const OpInfo* find_op(std::string_view name, Side side);

// The Attrs of an operation whose constructor is called without arguments.
Attrs default_attrs(Op op);
// Numeric constructor arguments (all but kKronAxes, kLeading, kRows, kCols, kWeight, kValue, kLayerLookup, kDtype and
// kDevice, which have no number in Attrs: set_arg ignores them, get_arg gives 0).
void set_arg(Attrs& attrs, Arg arg, double value);
double get_arg(const Attrs& attrs, Arg arg);
// Arguments that must be whole numbers.
bool arg_is_integer(Arg arg);

// Shape and format of a node's result from its operands. A refusal (kCandidate) names both shapes and the rule.
// The single source of truth for shapes: tracer, generator and mutator all call it.
struct TypedValue {
  Shape shape;
  Format format = Format::kRagged;
  bool table = false;  // the (block table, lengths) pair of TopK(k)
};
TypedValue typed_value(const Node& node);
// Attributes are checked too. Roots give what they wrote or selected. Field and constant indices must be valid.
Result<TypedValue> infer(Side side, Op op, const Attrs& attrs, const std::vector<TypedValue>& operands,
                         const Program& program, Shape reshape_to = {});

// Appends a node to one side's graph after `infer`; gives its index. `program` is unchanged on a refusal.
Result<int> append_node(Program& program, Side side, Op op, std::vector<int> inputs, const Attrs& attrs = {},
                        Shape reshape_to = {}, SourcePos pos = {});

// The schedule class of one node: its operation's, except that reductions over pages, GeMM with a Parameter and
// Reshape with an inner size that is not a power of two cross a kernel boundary in vortex_torch and count as kRow.
Reach node_reach(const Graph& graph, const Node& node);

// "[16, 128]": how shapes are written in messages.
std::string shape_text(Shape shape);
std::string_view format_name(Format format);  // "BATCHED", "RAGGED", "PAGED", "PARAMETER"

}  // namespace vortex::vflow
