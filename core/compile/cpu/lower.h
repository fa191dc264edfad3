#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/compile/stages.h"
#include "core/vflow/policy.h"
#include "kernels/cpu/vector.h"

namespace vortex::compile {

// A graph lowered for the CPU: straight-line steps over float32 buffers. A tile is a run of pages small enough that
// everything fused stays in the caches.

enum class Space : uint8_t {
  kTile,     // [pages of the tile][rows][cols], reused by every tile
  kRow,      // [pages of the row][rows][cols]: values that leave their stage
  kBatched,  // [rows][cols], once a row
};

// Where a value lives. In kTile and kRow the buffer starts at offset * (pages of the tile or row).
struct Place {
  Space space = Space::kTile;
  int64_t offset = 0;
  vflow::Shape shape;
};

enum class StepKind : uint8_t {
  kNone,
  kGather,      // out <- field
  kBinary,      // code: cpu::Binary
  kUnary,       // code: cpu::Unary
  kReduce,      // code: cpu::Reduction; becomes one of the next two, or kReducePages
  kReduceRows,  // code: cpu::Reduction; group
  kReduceCols,
  kReduceBound,  // code: cpu::Reduction of columns; bound; the products x * y and z * w
  kGemm,
  kKron,
  kTranspose,
  kMask,
  kKeep,  // out <- x, rounded to bfloat16 if `round`; out may be x
  // over pages
  kTransformPages,  // code: cpu::PageTransform
  kReducePages,     // code: cpu::Reduction
  kParameterGemm,   // y is the Parameter `constant`
};

struct Step {
  StepKind kind = StepKind::kGather;
  uint8_t code = 0;
  cpu::Binary bound = cpu::Binary::kMaximum;
  bool round = false;
  unsigned axes = 0;  // Kron
  int group = 1;
  int field = -1;
  int constant = -1;
  vflow::Attrs attrs;
  Place x;
  Place y;
  Place z;  // kReduceBound
  Place w;
  Place out;
};

struct LoweredStage {
  std::vector<Step> once;      // on BATCHED values, before the tiles
  std::vector<Step> per_tile;  // on RAGGED values
  std::vector<Step> over_rows;
};

// A field written at the end: from `value`, or with a constant where there is none.
struct FieldWrite {
  int field = -1;
  std::optional<Place> value;
  float constant = 0.0F;
};

// What chooses pages: one score list and k from the budget, or (Union) two with their own k.
struct Chooser {
  Place scores;
  int k = 0;               // TopK(k); 0: the row's budget
  double tolerance = 0.0;  // approxTopK
};

struct Lowered {
  std::vector<LoweredStage> stages;
  std::vector<FieldWrite> writes;
  std::vector<Chooser> choosers;  // empty on the cache side and for a program that selects nothing
  Place query;
  int64_t tile_elements = 0;  // a page, in each space
  int64_t row_elements = 0;
  int64_t batched_elements = 0;
  int64_t largest_page_value = 1;  // elements of the largest value that an operation over pages sees
  int tile_pages = 1;
};

Lowered lower(const vflow::Program& program, vflow::Side side, vflow::Dtype dtype);

}  // namespace vortex::compile
