#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/vflow/graph/bounds.h"
#include "core/vflow/program.h"

namespace vortex::vflow {

// The one table of operations. Checking, documentation, the proposer's prompt, the generator, the mutator, the printer,
// the structural distance, the cost model and the names in generated code all read it. An operation is an Op, a row
// here, a row in the oracle (core/compile/reference/oracle_ops.cpp), a row for the CPU (core/compile/cpu/lower.cpp),
// and its kernel for either backend; each of these tables refuses to compile without it. scripts/check_op_count.sh adds
// one.

// What an operation is: how its shape follows from its operands', and which family of kernels runs it.
enum class OpKind : uint8_t {
  kLeaf,        // q, a field, a Parameter
  kProduct,     // sums of products along the last dimension
  kKron,        // all products of two values' elements
  kReduction,   // along attrs.dim; dim 0: over the pages of a row
  kInterleave,  // a reduction of every attrs.k elements along attrs.dim
  kOverPages,   // RAGGED to RAGGED, over the middle pages of a row
  kBinary,      // two operands, element by element, broadcast
  kWhere,       // the same, 0 or -1e30
  kUnary,       // one operand, element by element, with alpha and beta
  kLayout,      // where elements are, or that they are
  kStorage,     // reads or writes a field
  kSelection,   // chooses pages
};

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

// Numbers that the generator draws for an argument from (a single one is taken as it is).
struct Draw {
  Arg arg;
  std::span<const double> values;
  bool over_magnitude = false;  // divided by the operand's magnitude, or by 1 if that is smaller
};

// What happens with beta = 0, the constructor's default: "Sigmoid with beta = 0 WHAT", and what to write instead.
struct Degenerate {
  std::string_view what;
  std::string_view hint;
};

struct OpInfo {
  Op op = Op::kQuery;
  std::string_view name = {};  // class name in source, e.g. "GeMM"; empty for leaves and kStore
  OpKind kind = OpKind::kLeaf;
  bool on_cache = false;
  bool on_indexer = false;
  Reach reach = Reach::kPage;  // as a rule; node_reach knows the exceptions
  int arity = 0;             // Node::inputs: without fields that are written or loaded, `o`, `output`, `loc` and `ctx`
  bool commutative = false;  // operands may be exchanged (with alpha and beta exchanged too for Add)
  bool uses_alpha_beta = false;        // false too where the constructor takes them and the operation ignores them
  std::span<const ArgInfo> args = {};  // of the constructor
  std::string_view formula = {};       // one line, plain text: what it computes
  std::string_view shape_rule = {};    // one line: what it takes and gives
  std::string_view expression = {};    // how a formula writes it (tell/formula.cpp)
  std::string_view result = {};        // what printed source calls its result; empty: NAME_out
  std::string_view cuda = {};          // what generated CUDA source calls it
  Bounds (*bounds)(const BoundsCall&) = nullptr;  // of its result
  // Does it keep the order of the scores that it is given, so that selecting after it selects the same pages? An
  // operand is `fixed` where it is the same for all pages. Null: never.
  bool (*keeps_order)(const Attrs&, bool x_fixed, bool y_fixed) = nullptr;
  double flops = 1;            // an element of the larger of operand and result; kProduct: a term
  double weight = 1;           // how often the generator tries it; 0: it makes it only where it is needed
  bool tame_operands = false;  // it multiplies, so that operands like Where's -1e30 would overflow
  double special = 0;  // results of special functions (exponentials, reciprocals, ...) that an element of the result
                       // takes where a processor has them; an operation inside pages that takes any is kept rather
                       // than computed twice
  bool tells_pages_apart = false;  // even where all scores are the same
  Degenerate degenerate = {};
  std::span<const Draw> draws = {};  // in the order in which they are drawn; other arguments keep their defaults
};

// Does the constructor take an argument of this meaning?
bool takes(const OpInfo& info, Arg arg);

// For tables of constants with one row an Op (a member `op`): are they all there, in the order of the enumeration? To
// be asserted at compile time, so that a new operation names every table that it has to enter.
template <typename Table>
constexpr bool has_a_row_for_every_op(const Table& table) {
  int next = 0;
  for (const auto& row : table) {
    if (static_cast<int>(row.op) != next++) { return false; }
  }
  return next == kOpCount;
}

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

// topK, approxTopK or Union: what ends the indexer.
bool is_terminal(Op op);
// Does it choose pages, or stand for a choice (TopK)?
bool chooses_pages(Op op);
// Save, Store or Fill.
bool writes_field(Op op);

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
