#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/unit.h"

namespace vortex::cpu {

// Depth is padded to what one tile of AMX takes.
inline constexpr int kDepthStep = 32;
constexpr int padded_depth(int k) { return (k + kDepthStep - 1) / kDepthStep * kDepthStep; }

// Panels that lie side by side in memory.
inline constexpr int kGroupPanels = 4;

// A weight matrix W [n][k] in bf16, repacked into panels of 16 outputs with k in pairs, padded with zeros. Vector lanes
// run over outputs, so that every output is one plain sum over k. Four panels are a group, in which pairs of the same k
// are neighbours: [ceil(n / 64)][padded_depth(k) / 2][4][16][2], where the last group has only as many panels as n
// needs. So a few rows, which take a group at once to have enough sums under way, read memory as one stream. All units
// read this one layout: float32 ones take a pair apart, bfloat16 ones multiply it at once, and 16 rows of pairs are a
// tile of AMX.
struct PackedMatrix {
  const Bf16* panels = nullptr;
  int n = 0;
  int k = 0;
  bool small_pages = false;  // of memory: reading them needs help to go on from one to the next
};

// Elements of one panel, and of all panels of an [n][k] matrix.
constexpr std::int64_t panel_size(int k) { return std::int64_t{16} * padded_depth(k); }
constexpr std::int64_t packed_size(int n, int k) { return (n + 15) / 16 * panel_size(k); }

// Writes row `output` of W [n][k] (its k values, rounded to bf16) into its place of `panels`, which start out zeroed.
void pack_row(const float* row, int output, int n, int k, Bf16* panels);

// y[rows][n] = x[rows][k] W^T in float32, with ldx and ldy elements between rows. Each y is the chain
// fma(x[k-1], w[k-1], ... fma(x[0], w[0], 0)): it depends on its own row of x alone and is the same on every
// instruction set, thread count and number of rows. Weights are read from memory once a call.
void gemm(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
          ThreadPool* pool = nullptr, Isa isa = best_isa());

// One product of several that are made together.
struct Product {
  const float* x = nullptr;
  std::int64_t ldx = 0;
  int rows = 0;
  PackedMatrix w;
  float* y = nullptr;
  std::int64_t ldy = 0;
};

// gemm() of every product, none of which may read what another writes: the panels of all are shared out over the
// threads at once, so that many small matrices cost no more than one large one.
void gemm_all(const Product* products, int count, ThreadPool* pool = nullptr, Isa isa = best_isa());

// Elements of what gemm_bf16() needs beside its operands.
constexpr std::int64_t bf16_scratch_size(int rows, int k) { return (rows + 15) / 16 * panel_size(k); }

// The same product on a bfloat16 unit that this machine has: x is rounded to bfloat16 (to nearest, ties to even),
// products are exact, sums are float32 rounded to nearest, and denormal numbers count as zero. The order of a sum is
// the unit's:
//   kAvx512Bf16: pairs in ascending order, of each the odd element first;
//   kAmxBf16: 32 elements at a time, from zero the even and the odd ones each in ascending order, then both sums
//     together, then added to what was there before.
// Each y depends on its own row of x and on the unit alone: threads and the number of rows change no bit. It differs
// from gemm() by at most (2^-8 + 2^-22 k) sum |x w|, as long as nothing is denormal. scratch: bf16_scratch_size(rows,
// k) elements.
void gemm_bf16(Unit unit, const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
               Bf16* scratch, ThreadPool* pool = nullptr);

}  // namespace vortex::cpu
