#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/isa.h"

namespace vortex::cpu {

// Arithmetic on values of a policy: float32 arrays [pages][rows][cols], contiguous, for a tile of pages or for a row.
// An operand that is the same for all pages is one [rows][cols] array.
//
// Orders of summation, the same on every instruction set; all products are fused (fma):
//   along cols, and dot products: fewer than 16 elements in order; else element i goes to lane i % 16 and the lanes are
//     added as a tree (i + i+8, i+4, i+2, i+1);
//   along rows: in order (along cols where there is one column, since the elements are then contiguous);
//   along pages: page p (from the first one summed) goes to accumulator p % 16, then the same tree.
// Maximum and minimum of a NaN are NaN.

enum class Binary : unsigned char {
  kMultiply,
  kAdd,  // alpha * x + beta * y
  kMaximum,
  kMinimum,
  kWhereEqual,  // predicate ? 0 : -1e30
  kWhereNotEqual,
  kWhereGreater,
  kWhereGreaterEqual,
  kWhereLess,
  kWhereLessEqual,
};

enum class Unary : unsigned char {
  kRelu,     // x >= alpha ? x : beta
  kSigmoid,  // 1 / (1 + exp(beta * x + alpha))
  kSilu,     // x / (1 + exp(beta * x + alpha))
  kAddMul,   // beta * x + alpha
  kAbs,      // |beta * x + alpha|
  kLog,      // ln(beta * x + alpha)
  kExp,      // exp(beta * x + alpha)
};

enum class Reduction : unsigned char { kMean, kMax, kMin, kSum, kL2Norm };

// Of every page of a row, from all of them.
enum class PageTransform : unsigned char {
  kSoftmax,    // of scale * x
  kNormalize,  // x / max(sqrt(sum x^2), 1e-12)
  kConvolve,   // out[p] = sum_t weight[t] x[p - t] over t <= p
};

// What a transform takes beside its pages; each reads what its formula names.
struct PageArgs {
  float scale = 1;
  int taps = 0;
  const float* weight = nullptr;  // [taps][size]
};

struct Extent {
  std::int64_t pages = 1;
  int rows = 1;
  int cols = 1;
  std::int64_t size() const { return static_cast<std::int64_t>(rows) * cols; }
};

// An operand of a broadcasting operation: [rows][cols] a page, or once for all pages.
struct Operand {
  const float* data = nullptr;
  int rows = 1;
  int cols = 1;
  bool per_page = true;
};

// The kernels of one instruction set. Outputs never overlap inputs.
struct VectorKernels {
  // out[pages][rows][cols] of the broadcast extent.
  void (*binary)(Binary op, float alpha, float beta, Extent extent, Operand x, Operand y, float* out);
  void (*unary)(Unary op, float alpha, float beta, std::int64_t count, const float* x, float* out);

  // Every `group` consecutive rows (or columns) become one: [pages][rows / group][cols], [pages][rows][cols / group].
  void (*reduce_rows)(Reduction op, Extent extent, int group, const float* x, float* out);
  void (*reduce_cols)(Reduction op, Extent extent, int group, const float* x, float* out);

  // reduce_cols of bound(left x * left y, right x * right y) without either of them in memory, to the bit: what bounds
  // on the keys of a page are (Quest, arXiv:2406.10774). bound is kMaximum or kMinimum, op is kSum or kMean, group a
  // multiple of 16; the operands have the extent's columns.
  void (*reduce_bound)(Binary bound, Reduction op, Extent extent, int group, const Operand (&left)[2],
                       const Operand (&right)[2], float* out);

  // out[p][a][b] = sum_k y[p][a][k] x[p][b][k]; x.cols == y.cols.
  void (*gemm)(std::int64_t pages, Operand x, Operand y, float* out);
  // out[p][i * y.rows + j][k * y.cols + l] = x[i][k] y[j][l]; an axis not in `axes` (bit 0 rows, bit 1 cols)
  // broadcasts.
  void (*kron)(std::int64_t pages, unsigned axes, Operand x, Operand y, float* out);
  void (*transpose)(Extent extent, const float* x, float* out);

  // Over pages, each of `size` elements. scratch: 32 * size floats.
  void (*reduce_pages)(Reduction op, std::int64_t pages, std::int64_t size, const float* x, float* out, float* scratch);
  void (*transform_pages)(PageTransform op, const PageArgs& args, std::int64_t pages, std::int64_t size, const float* x,
                          float* out, float* scratch);

  void (*round_bf16)(std::int64_t count, const float* x, float* out);  // out may be x
  void (*from_bf16)(std::int64_t count, const Bf16* x, float* out);
  void (*to_bf16)(std::int64_t count, const float* x, Bf16* out);
};

const VectorKernels& vector_kernels(Isa isa);

}  // namespace vortex::cpu
