#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vortex::vflow {

// A traced vFlow program: two small dataflow graphs over paged tensors, one run when a page fills up (the cache side,
// `forward_cache`), one run for every decode step and row (the indexer side, `forward_indexer`). A row is one
// (request, kv head) pair. Shapes are fixed at trace time for one model geometry and block size.

enum class Side : uint8_t { kCache, kIndexer };

// How the leading dimension of a value is laid out.
enum class Format : uint8_t {
  kBatched,    // one [rows, cols] per row: the query and everything computed only from it
  kRagged,     // one [rows, cols] per (row, block position)
  kPaged,      // one [rows, cols] per physical page: a field of the cache
  kParameter,  // one [rows, cols] per layer, shared by all rows
};

// Inner dimensions of a value; the leading one is implied by its Format.
struct Shape {
  int rows = 1;
  int cols = 1;
  int64_t size() const { return static_cast<int64_t>(rows) * cols; }
  bool operator==(const Shape&) const = default;
};

// Every operation of both sides. The row of an Op in the op table (op_table.h) says what it is called in source, on
// which side it exists, what it takes and what it means.
enum class Op : uint8_t {
  // leaves
  kQuery,      // q: BATCHED [group, head_dim]
  kField,      // read of Program::fields[attrs.field]: PAGED
  kParameter,  // Program::constants[attrs.constant]: PARAMETER
  // products
  kGemm,
  kGemv,
  kKron,
  // reductions along attrs.dim (0: over pages, 1, 2)
  kMean,
  kMax,
  kMin,
  kSum,
  kL2Norm,
  // reductions of attrs.k consecutive elements along attrs.dim (cache side)
  kMeanInterleave,
  kMaxInterleave,
  kMinInterleave,
  kL2NormInterleave,
  // across pages
  kSoftmax,
  kNormalize,
  kConv1d,
  // elementwise, two operands
  kMultiply,
  kAdd,
  kMaximum,
  kMinimum,
  kWhereEqual,
  kWhereNotEqual,
  kWhereGreater,
  kWhereGreaterEqual,
  kWhereLess,
  kWhereLessEqual,
  // elementwise, one operand
  kRelu,
  kSigmoid,
  kSilu,
  kAddMul,
  kAbs,
  kLog,
  kExp,
  // layout
  kTranspose,
  kReshape,
  kMaskSlice,
  // storage
  kLoad,   // indexer: PAGED -> RAGGED, the value from before this step's Save
  kSave,   // indexer root: field attrs.field <- input, for the computed rows, at the end of the step
  kStore,  // cache root: field attrs.field <- input (source form: `output=cache["f"]`)
  kFill,   // cache root: field attrs.field <- attrs.alpha
  // selection (indexer roots, except kTopKTable)
  kTopK,
  kApproxTopK,
  kTopKTable,  // TopK(k): a (block table, lengths) pair, consumed by kUnion only
  kUnion,
};
inline constexpr int kOpCount = static_cast<int>(Op::kUnion) + 1;

// Attributes of one operation. An Op uses the members that its op-table row names; the others keep their defaults.
struct Attrs {
  int dim = 0;             // reductions, Softmax, Normalize, Conv1d, MaskSlice
  double alpha = 0.0;      // elementwise, MaskSlice, Fill
  double beta = 0.0;       // elementwise, MaskSlice
  double scale = 1.0;      // Softmax
  double tolerance = 0.0;  // approxTopK: recall may fall to 1 - tolerance
  int k = 0;               // interleaved reductions: group length; TopK(k): pages
  int start = 0;           // MaskSlice
  int end = 0;             // MaskSlice
  unsigned kron_axes = 0;  // Kron: bit 0 = dim 1, bit 1 = dim 2
  int field = -1;          // kField, kLoad, kSave, kStore, kFill: index into Program::fields
  int constant = -1;       // kConv1d, kParameter: index into Program::constants
  bool operator==(const Attrs&) const = default;
};

// Where a node came from in the policy source; 1-based, 0 when made by a program instead of a parser.
struct SourcePos {
  int line = 0;
  int column = 0;
};

// One operation. `inputs` are indices of earlier nodes of the same graph, so a graph is always in execution order.
struct Node {
  Op op = Op::kQuery;
  std::vector<int> inputs;
  Attrs attrs;
  Shape shape;
  Format format = Format::kRagged;
  SourcePos pos;
};

struct Graph {
  std::vector<Node> nodes;
};

// One paged tensor of the cache, [page][kv head][rows][cols]. The built-in ones (k and v, or latent for MLA) come last.
struct Field {
  std::string name;
  Shape shape;
  bool builtin = false;
};

// Literal data of a Conv1d (dims {K, D0, D1}) or of a Parameter (dims {L, N, K}), row-major.
struct Constant {
  std::vector<int> dims;
  std::vector<float> data;
  std::vector<int> layer_lookup;  // Parameter only: global layer id -> leading index; empty means identity
  bool operator==(const Constant&) const = default;
};

enum class Dialect : uint8_t { kGqa, kMla };

// The part of a model that a program is traced against.
struct Geometry {
  int group = 1;       // query heads per kv head (MLA: all query heads)
  int head_dim = 1;    // MLA: kv_lora_rank + rope_dim
  int block_size = 1;  // tokens per page
  int rope_dim = 0;    // MLA only: qk_rope_head_dim
  bool operator==(const Geometry&) const = default;
};

struct Program {
  std::string name;  // the string given to @register
  Dialect dialect = Dialect::kGqa;
  Geometry geometry;
  std::vector<Field> fields;
  std::vector<Constant> constants;
  Graph cache;
  Graph indexer;
};

}  // namespace vortex::vflow
